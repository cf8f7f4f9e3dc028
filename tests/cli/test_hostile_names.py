"""Names that strangers chose: whatever stands in them, commands show it in one line and obey none of it."""

import csv
import io
import json
import re
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

from cli.flower import in_words
from fer_model.networks.loading import save_weights
from tests.support.checkpoints import random_classifier
from tests.support.commands import ROOT, fer_batch, fer_batch_on_terminal, succeed
from tests.support.databases import query
from tests.support.tiny import write_tiny_faces

ORDERS = "[red]:smile:[link=http:x]\x1b[41m\x1b]8;;http:x\x07\x1b]0;title\x07\r\nforged\u202egpj\u200b\x9b2J"
"""Rich's markup and emoji codes, colours, a link, a title, a line of its own, reversed and invisible letters."""

NAME = f"[/bold]{ORDERS}"
SHOWN = r"[red]:smile:[link=http:x]\x1b[41m\x1b]8;;http:x\x07\x1b]0;title\x07\r\nforged\u202egpj\u200b\x9b2J"
FILE = f"={ORDERS}.jpg"
BROKEN = f"broken{ORDERS}.png"

DRAWN = [
    ("jobs",),
    ("status", "JOB"),
    ("timeline", "JOB"),
    ("models", "list"),
    ("train", "list"),
    ("train", "status", "RUN"),
    ("annotate", "JOB", "-o", "OUT"),
    ("doctor", "--broker", f"redis://127.0.0.1:1/{ORDERS}"),
    ("run", NAME, BROKEN, "--name", NAME),
]
"""Commands that draw tables, bars or colours with names of jobs, files, models or settings."""

PRINTED = [
    *DRAWN,
    ("db", "purge", "--older-than", "1ms", "--dry-run"),
    ("models", "show", NAME),
    ("models", "verify"),
    ("status", NAME),
    ("models", "show", f"other{NAME}"),
    ("timeline", "JOB", "--by", NAME),
    ("export", "JOB", f"--{ORDERS}"),
    (NAME,),
]
"""And those that print names, or what was typed, in plain lines."""


@pytest.fixture(scope="module")
def folder(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / FILE).write_bytes((samples / "zidane.jpg").read_bytes())
    (folder / BROKEN).write_bytes(b"no picture")
    (folder / f"x.{ORDERS}").touch()
    return folder


@pytest.fixture(scope="module")
def environment(broker: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A database, and a store with a model of that name."""
    store = tmp_path_factory.mktemp("store")
    url = f"sqlite:///{store / 'results.db'}"
    known = {"FER_MODELS_DIR": str(store), "FER_DATABASE_URL": url, "FER_BROKER_URL": broker}
    save_weights(random_classifier(), store / "mine.safetensors")
    succeed("models", "add", str(store / "mine.safetensors"), "--name", NAME, **known)
    return known


@pytest.fixture(scope="module")
def finished(environment: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return fer_batch("run", str(folder), "--name", NAME, **environment)


@pytest.fixture(scope="module")
def job(environment: dict[str, str], finished: "subprocess.CompletedProcess[str]") -> str:
    return str(json.loads(succeed("jobs", "--json", **environment).stdout)[0]["job"])


@pytest.fixture(scope="module")
def training(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    faces = write_tiny_faces(tmp_path_factory.mktemp("faces") / f"{ORDERS}.csv")
    words = ("train", "classifier", "--data", str(faces), "--recipe", "baseline", "--epochs", "1")
    run = succeed(*words, "--name", NAME, **environment).stdout.strip()
    # On a terminal its status is shown until it has ended.
    succeed("cancel", run, **environment)
    return run


def check_obeyed_nothing(output: str) -> None:
    """No traceback, no line that a name made, and of the terminal's orders only Rich's own."""
    assert "Traceback" not in output
    # Colours and styles, a hidden cursor, lines that a progress bar draws again.
    own = re.sub(r"\x1b\[(?!41m)[0-9;]*[mKA]|\x1b\[\?25[hl]|\x1b\[2K|\r", "", output)
    assert "".join(sorted({each for each in own if not each.isprintable()})) in ("\n", "")
    assert not any(line.lstrip().startswith("forged") for line in own.splitlines())
    assert "😄" not in output


def filled(words: tuple[str, ...], job: str, training: str, output: Path) -> list[str]:
    places = {"JOB": job, "RUN": training, "OUT": str(output)}
    return [places.get(word, word) for word in words]


def name_of(words: tuple[str, ...]) -> str:
    return " ".join(words[:2]).encode("unicode_escape").decode()[:40]


@pytest.mark.parametrize("words", PRINTED, ids=name_of)
def test_every_command_shows_names_and_obeys_none(
    words: tuple[str, ...], environment: dict[str, str], job: str, training: str, tmp_path: Path
) -> None:
    run = fer_batch(*filled(words, job, training, tmp_path), **environment, COLUMNS="500")
    check_obeyed_nothing(run.stdout)
    check_obeyed_nothing(run.stderr)


@pytest.mark.parametrize("words", DRAWN, ids=name_of)
def test_on_a_terminal_too(
    words: tuple[str, ...], environment: dict[str, str], job: str, training: str, tmp_path: Path
) -> None:
    check_obeyed_nothing(fer_batch_on_terminal(*filled(words, job, training, tmp_path), **environment)[1])


def test_names_are_shown_as_they_are(environment: dict[str, str], job: str, training: str) -> None:
    wide = {**environment, "COLUMNS": "900"}
    for words in (("jobs",), ("train", "list"), ("models", "list"), ("models", "show", NAME), ("models", "verify")):
        assert rf"[/bold]{SHOWN}" in succeed(*words, **wide).stdout, words
    assert rf"broken{SHOWN}.png" in succeed("status", job, **wide).stderr
    assert rf"There is no job '[/bold]{SHOWN}'" in fer_batch("status", NAME, **wide).stderr


def test_a_run_says_what_failed_and_what_it_passed_over_in_one_line_each(
    finished: "subprocess.CompletedProcess[str]", folder: Path
) -> None:
    check_obeyed_nothing(finished.stdout)
    check_obeyed_nothing(finished.stderr)
    assert finished.returncode == 0, "one of two files could be read"
    lines = finished.stderr.splitlines()
    assert len([line for line in lines if line.startswith(f"Failed: {folder}/broken")]) == 1
    assert len([line for line in lines if line.startswith("Passed over: 1 file of other kinds: 1 .")]) == 1


def test_exports_keep_names_as_data(environment: dict[str, str], job: str, folder: Path, tmp_path: Path) -> None:
    uri = str(folder / FILE)
    answer = succeed("export", job, "--format", "csv", "-o", str(tmp_path / "faces.csv"), **environment)
    assert not answer.stdout
    with (tmp_path / "faces.csv").open(newline="") as file:
        assert {row["uri"] for row in csv.DictReader(file)} == {uri}
    lines = succeed("export", job, "--format", "jsonl", **environment).stdout.splitlines()
    assert {json.loads(line)["uri"] for line in lines} == {uri}
    succeed("export", job, "--format", "xlsx", "-o", str(tmp_path / "faces.xlsx"), **environment)
    with ZipFile(tmp_path / "faces.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet and "hyperlink" not in sheet and "\x1b" not in sheet and "_x001B_" in sheet
    timeline = io.StringIO(fer_batch("timeline", job, "--format", "csv", **environment).stdout)
    assert list(csv.DictReader(timeline))


def test_the_report_shows_names_escaped(environment: dict[str, str], job: str, tmp_path: Path) -> None:
    succeed("report", job, "-o", str(tmp_path / "report.html"), **environment)
    page = (tmp_path / "report.html").read_text()
    assert SHOWN in page and "<h1>[/bold]" in page
    assert "\x1b" not in page and "\u202e" not in page and "\u200b" not in page and "\nforged" not in page


def test_flower_shows_names_escaped(environment: dict[str, str], job: str) -> None:
    (number,) = query(environment["FER_DATABASE_URL"], "SELECT min(id) FROM shards WHERE job_id = :job", job=job)[0]

    class Task:
        name, args = "process_shard", f"({number},)"

    assert in_words(environment["FER_DATABASE_URL"])(Task()).args.startswith(rf"[/bold]{SHOWN} · ={SHOWN}.jpg")


def test_commands_print_through_the_two_modules_that_escape() -> None:
    allowed = {"lines.py", "terminal.py", "standard_streams.py"}
    direct = re.compile(r"(?<![\w.])print\(|click\.s?echo\(|(?<![\w])Console\(|markup=True|from_markup|rich\.markup")
    files = [path for path in (ROOT / "cli").rglob("*.py") if path.name not in allowed]
    assert len(files) > 30
    assert [path.name for path in files if direct.search(path.read_text())] == []
