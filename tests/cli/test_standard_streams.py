"""Stdout that is closed, full, without a reader, or in an encoding of its own: the work decides the exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from results.database import upgrade
from tests.support.commands import ROOT, succeed
from tests.support.databases import query

FER_BATCH = f"{sys.executable} -P -m cli"
NAME = "名前 ☃ é"


def shell(line: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """A line of a shell whose exit code is that of the first part of a pipe that failed; `fer` is the program."""
    script = f'set -o pipefail; fer() {{ {FER_BATCH} "$@"; }}; {line}'
    surroundings = {**os.environ, **environment}
    return subprocess.run(["bash", "-c", script], capture_output=True, timeout=280, cwd=ROOT, env=surroundings)


@pytest.fixture(scope="module")
def environment(broker: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'results.db'}"
    upgrade(url)
    return {"FER_DATABASE_URL": url, "FER_BROKER_URL": broker}


@pytest.fixture(scope="module")
def job(environment: dict[str, str], samples: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job that is done, of a file and with a name beyond ASCII and Latin-1."""
    photograph = tmp_path_factory.mktemp("media") / f"{NAME}.jpg"
    photograph.write_bytes((samples / "zidane.jpg").read_bytes())
    succeed("run", str(photograph), "--name", NAME, **environment)
    return str(query(environment["FER_DATABASE_URL"], "SELECT id FROM jobs")[0][0])


@pytest.mark.parametrize("target", ["| true", "2>&1 | true", ">&-", "> /dev/full"])
def test_a_job_that_is_done_is_exit_code_0_whatever_stdout_is(
    target: str, environment: dict[str, str], samples: Path
) -> None:
    run = shell(f"fer run {samples / 'zidane.jpg'} {target}", **environment)
    assert run.returncode == 0, run.stderr
    assert b"Traceback" not in run.stderr and b"Exception ignored" not in run.stderr
    assert (b"Note: the rest of the output is lost" in run.stderr) == ("full" in target)
    states = query(environment["FER_DATABASE_URL"], "SELECT state FROM jobs ORDER BY id")
    assert states[-1] == ("done",)


@pytest.mark.parametrize("target", ["| true", ">&-", "> /dev/full"])
def test_a_queued_job_is_exit_code_0_too(target: str, environment: dict[str, str], samples: Path) -> None:
    run = shell(f"fer submit {samples / 'zidane.jpg'} {target}", **environment)
    assert run.returncode == 0 and b"Traceback" not in run.stderr, run.stderr


def test_a_job_that_failed_is_exit_code_1_without_a_reader_too(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    run = shell(f"fer run {tmp_path} | true", **environment)
    assert run.returncode == 1 and b"Failed: " in run.stderr


@pytest.mark.parametrize("words", ["jobs", "status", "timeline", "models list"])
def test_what_only_prints_ends_quietly_without_a_reader(words: str, environment: dict[str, str], job: str) -> None:
    assert shell(f"fer {words} {job * (words in ('status', 'timeline'))} | true", **environment).stderr == b""


def test_what_only_prints_fails_when_it_cannot(environment: dict[str, str], job: str) -> None:
    for words in ("jobs", "timeline --format csv", "export --format csv"):
        run = shell(f"fer {words} > /dev/full", **environment)
        lines = run.stderr.decode().splitlines()
        assert run.returncode == 1 and [line[:7] for line in lines] == ["Error: "], run.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_name_can_be_printed_in_any_encoding(encoding: str, environment: dict[str, str], job: str) -> None:
    surroundings = {**environment, "PYTHONIOENCODING": encoding, "COLUMNS": "200"}
    for words in ("jobs", f"status {job}", f"timeline {job}", "models list", f"status {NAME.replace(' ', '')}"):
        run = shell(f"fer {words}", **surroundings)
        assert b"Traceback" not in run.stderr and (run.stdout + run.stderr).decode(encoding)
    assert rb"\u540d\u524d" in shell("fer jobs", **surroundings).stdout


def test_the_c_locale_is_an_encoding_like_others(environment: dict[str, str], job: str) -> None:
    surroundings = {**environment, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for words in ("jobs", f"timeline {job}", f"export {job} --format csv"):
        run = shell(f"fer {words}", **surroundings)
        assert run.returncode == 0 and not run.stderr, run.stderr


def test_data_on_stdout_are_utf_8_in_every_encoding(environment: dict[str, str], job: str) -> None:
    for words in ("export --format csv", "export --format jsonl", "timeline --format csv"):
        run = shell(f"fer {words}", **environment, PYTHONIOENCODING="ascii")
        assert run.returncode == 0 and f"{NAME}.jpg" in run.stdout.decode(), run.stderr


def test_a_name_that_is_not_utf_8_is_one_sentence(environment: dict[str, str], samples: Path) -> None:
    named = shell(f"fer submit {samples / 'zidane.jpg'} --name $'a\\xff'", **environment)
    assert named.returncode == 1 and named.stderr.count(b"\n") == 1 and b"is not valid UTF-8" in named.stderr
    looked_up = shell("fer status $'a\\xff'", **environment)
    assert looked_up.returncode == 1 and looked_up.stderr.count(b"\n") == 1


def test_files_whose_names_are_not_utf_8_fail_alone(environment: dict[str, str], samples: Path, tmp_path: Path) -> None:
    (tmp_path / "good.jpg").write_bytes((samples / "zidane.jpg").read_bytes())
    for name in (b"bad\xff.jpg", b"bad\xfe.jpg"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    run = shell(f"fer run {tmp_path} {tmp_path}/$'none\\xff.jpg' | true", **environment)
    failed = [line for line in run.stderr.decode().splitlines() if line.startswith("Failed: ")]
    assert [
        rf"\udc{byte}.jpg: the file's name is not valid UTF-8" in line
        for byte, line in zip(("fe", "ff", "ff"), sorted(failed), strict=True)
    ] == [True] * 3
    frames = query(environment["FER_DATABASE_URL"], "SELECT count(*) FROM frames JOIN media ON media.id = media_id "
                   "WHERE job_id = (SELECT max(id) FROM jobs)")  # fmt: skip
    assert frames == [(1,)]
