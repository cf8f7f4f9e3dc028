"""The commands `train ...`; the queue itself is in the acceptance tests."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from rich.console import Console
from sqlalchemy import create_engine, update

from cli.main import main
from cli.views.training import curve, follow_training
from results.clock import ago
from results.database import connect, writing
from results.leases import MAX_ATTEMPTS
from results.tables import Shard
from results.training import TrainingStatus
from tests.support.commands import fer_batch, succeed
from tests.support.databases import query
from tests.support.tiny import write_tiny_faces
from tests.support.training_data import grey_picture, write_folders

HIDE_CURSOR = b"\x1b[?25l"

HISTORY = [
    {"epoch": number, "train_accuracy": number / 20, "validation_accuracy": number / 25, "loss": 1.0}
    for number in range(1, 13)
]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_faces(tmp_path_factory.mktemp("faces") / "fer2013.csv")


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """A database and a store of its own, and no broker."""
    url = f"sqlite:///{tmp_path / 'results.db'}"
    models, broker = str(tmp_path / "models"), "redis://127.0.0.1:1/0"
    return {"FER_DATABASE_URL": url, "FER_MODELS_DIR": models, "FER_BROKER_URL": broker, "OMP_NUM_THREADS": "1"}


def words_for(faces: Path, epochs: int = 1) -> list[str]:
    """The words of a small training."""
    words = ["train", "classifier", "--data", str(faces), "--recipe", "baseline", "--batch", "16", "--threads", "1"]
    return [*words, "--epochs", str(epochs)]


@pytest.mark.parametrize(
    "words",
    [
        ["--recipe", "crp"],
        ["--data", "x", "--recipe", "nonsense"],
        ["--data", "x", "--recipe", "crp", "--epochs", "0"],
        ["--data", "x", "--recipe", "crp", "--learning-rate", "0"],
        ["--data", "x", "--recipe", "crp", "--patience", "0"],
    ],
)
def test_wrong_use_exits_with_2(words: list[str]) -> None:
    assert CliRunner().invoke(main, ["train", "classifier", *words]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere.csv", "--recipe", "crp", "--local"], "nowhere.csv: there is no such file"),
        (["--data", "FACES", "--recipe", "crp", "--local", "--init", "nothing.safetensors"], "nothing.safetensors"),
        (["--data", "FACES", "--recipe", "crp", "--local", "--init", "nothing"], "There is no model 'nothing'"),
        (["--data", "FACES", "--recipe", "crp", "--local", "--teacher", "nothing"], "There is no model 'nothing'"),
        (["--data", "FACES", "--recipe", "crp"], "The broker at redis://127.0.0.1:1/0 cannot be reached"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence_and_no_run_is_made(
    faces: Path, surroundings: dict[str, str], words: list[str], message: str
) -> None:
    run = fer_batch("train", "classifier", *(str(faces) if w == "FACES" else w for w in words), **surroundings)
    assert run.returncode == 1 and not run.stdout, run
    assert message in run.stderr and len(run.stderr.strip().splitlines()) == 1
    listed = fer_batch("train", "list", "--json", **surroundings)
    assert listed.returncode == 1 or json.loads(listed.stdout) == []


def test_a_queued_run_is_shown_and_a_missing_worker_named(
    faces: Path, surroundings: dict[str, str], broker: str
) -> None:
    there = surroundings | {"FER_BROKER_URL": broker}
    queued = succeed(*words_for(faces, 7), "--init", "imagenet", "--name", "mine", **there)
    run = queued.stdout.strip()
    assert "no worker serves the queue 'train'" in queued.stderr
    status = json.loads(succeed("train", "status", "--json", **there).stdout)
    assert (status["run"], status["state"], status["epoch"], status["epochs"]) == (run, "queued", 0, 7)
    assert (status["name"], status["recipe"], status["data"], status["history"]) == ("mine", "baseline", str(faces), [])
    options = json.loads(query(there["FER_DATABASE_URL"], "SELECT options FROM jobs")[0][0])
    assert (options["init"], options["batch"], options["patience"], options["device"]) == ("imagenet", 16, 20, None)
    assert succeed("train", "status", run[-4:], **there).stdout == f"{run} (baseline): queued\n"
    assert succeed("status", run, **there).stdout == f"{run} (baseline): queued\n"
    (job,) = json.loads(succeed("jobs", "--json", **there).stdout)
    assert (job["job"], job["kind"], job["shards"]["pending"]) == (run, "train", 1)
    assert "train" in succeed("jobs", **there).stdout and "0/7" in succeed("train", "list", **there).stdout
    assert "cancelled" in succeed("cancel", run, **there).stdout
    waited = fer_batch("train", "status", run, "--wait", **there)
    assert waited.returncode == 1 and "cancelled" in waited.stdout


def test_status_of_another_job_says_so(surroundings: dict[str, str], samples: Path, broker: str) -> None:
    there = surroundings | {"FER_BROKER_URL": broker, "FER_QUEUES": "nobody"}
    job = succeed("submit", str(samples / "zidane.jpg"), **there).stdout.strip()
    run = fer_batch("train", "status", job[-4:], **there)
    assert run.returncode == 1 and f"{job} is no training run; `fer-batch status {job}` shows" in run.stderr
    assert "There is no training run yet" in fer_batch("train", "status", **there).stderr


def test_local_training_needs_no_broker_and_says_what_came_out(faces: Path, surroundings: dict[str, str]) -> None:
    run = succeed(*words_for(faces, 2), "--local", **surroundings)
    name = run.stdout.strip()
    lines = run.stderr.strip().splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("epoch")] == ["epoch 1 of 2", "epoch 2 of 2"]
    status = json.loads(succeed("train", "status", name, "--json", **surroundings).stdout)
    assert status["state"] == "done" and lines[-1].endswith(f"model {status['model']}")
    shown = succeed("train", "status", **surroundings).stdout.splitlines()
    assert len(shown) == 3 and shown[0] == lines[-1]


def test_pictures_of_any_size_train_where_they_may_be_resized(tmp_path: Path, surroundings: dict[str, str]) -> None:
    root = write_folders(tmp_path / "data", {"train/happy": 8, "train/sad": 8, "val/happy": 1})
    Image.fromarray(grey_picture(9, 96)).save(root / "train" / "happy" / "large.png")
    there = surroundings | {"FER_CACHE_DIR": str(tmp_path / "cache")}
    refused = fer_batch(*words_for(root), "--local", **there)
    assert refused.returncode == 1 and "--resize would make it fit" in refused.stderr
    assert "; model " in succeed(*words_for(root), "--local", "--resize", **there).stderr
    assert len(list(tmp_path.glob("cache/training-data/*"))) == 2, "decoded once for the next run"


def test_on_a_terminal_there_is_a_curve(faces: Path, surroundings: dict[str, str]) -> None:
    succeed(*words_for(faces, 2), "--local", **surroundings)
    main_end, terminal = pty.openpty()
    environment = {**os.environ, **surroundings, "TERM": "xterm", "COLUMNS": "100", "LINES": "50"}
    command = [sys.executable, "-P", "-m", "cli", "train", "status"]
    with subprocess.Popen(command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        # Reading fails when the other end has closed.
        with suppress(OSError):
            while piece := os.read(main_end, 65536):
                shown += piece
    os.close(main_end)
    assert process.returncode == 0
    for words in ("2/2", "learning rate", "training %", "validation %", "done"):
        assert words in shown.decode(), words
    assert shown.count(b"2/2") == 1 and HIDE_CURSOR not in shown, "what has ended is shown once, not live"


def status_in(state: str) -> TrainingStatus:
    """A run before its first epoch."""
    given = {"run": "r", "kind": "classifier", "data": "d", "state": state, "epoch": 0, "epochs": 1, "history": []}
    return TrainingStatus(**{field.name: given.get(field.name) for field in fields(TrainingStatus)})  # type: ignore[arg-type]


@pytest.mark.parametrize(("ended", "looks"), [(False, 2), (True, 1)])
def test_a_follower_looks_once_more_after_the_end(monkeypatch: pytest.MonkeyPatch, ended: bool, looks: int) -> None:
    """The run goes on until the test looks whether it has ended."""
    seen: list[str] = []
    states = {"now": "done" if ended else "running"}

    def look_up(database: object, run: str) -> TrainingStatus:
        seen.append(states["now"])
        return status_in(states["now"])

    def stop() -> bool:
        if seen:
            states["now"] = "done"
        return bool(seen)

    monkeypatch.setattr("cli.views.training.POLL_S", 0)
    monkeypatch.setattr("cli.views.training.look_up", look_up)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("cli.views.training.terminal", lambda stderr: terminal)
    assert follow_training(create_engine("sqlite://"), "r", stop).state == "done"
    assert seen[-1] == "done" and len(seen) == looks


def test_an_interrupted_local_training_goes_on_with_the_same_command(faces: Path, surroundings: dict[str, str]) -> None:
    command = [sys.executable, "-P", "-m", "cli", *words_for(faces, 4), "--local"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env={**os.environ, **surroundings}, **pipes)  # type: ignore[call-overload]
    until = time.monotonic() + 100
    while time.monotonic() < until and not _epochs(surroundings["FER_DATABASE_URL"]):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "The same command goes on" in err and "Traceback" not in err, err
    assert 1 <= len(_epochs(surroundings["FER_DATABASE_URL"])) < 4
    again = succeed(*words_for(faces, 4), "--local", **surroundings)
    assert again.stdout == out and "Going on" in again.stderr
    assert _epochs(surroundings["FER_DATABASE_URL"]) == [1, 2, 3, 4]


def test_a_local_training_whose_process_died_in_every_attempt_has_failed(
    faces: Path, surroundings: dict[str, str]
) -> None:
    """Else the same command would say for ever that another process is at it."""
    words = (*words_for(faces, 4), "--local")
    command = [sys.executable, "-P", "-m", "cli", *words]
    with subprocess.Popen(command, env={**os.environ, **surroundings}, stdout=subprocess.PIPE) as process:
        until = time.monotonic() + 100
        while time.monotonic() < until and not _epochs(surroundings["FER_DATABASE_URL"]):
            time.sleep(0.1)
        process.kill()
    database = connect(surroundings["FER_DATABASE_URL"])
    with writing(database) as session:
        session.execute(update(Shard).values(attempts=MAX_ATTEMPTS, heartbeat_at=ago(3600)))
    database.dispose()
    again = fer_batch(*words, **surroundings)
    assert again.returncode == 1 and "is at this run" not in again.stderr
    (job,) = json.loads(succeed("jobs", "--json", **surroundings).stdout)
    assert job["state"] == "failed"


def _epochs(url: str) -> list[int]:
    if not Path(url.removeprefix("sqlite:///")).exists():
        return []
    try:
        return [epoch for (epoch,) in query(url, "SELECT epoch FROM training_epochs WHERE job_id = "
                                                 "(SELECT min(id) FROM jobs) ORDER BY epoch")]  # fmt: skip
    except Exception:
        return []  # the tables are being made


def test_the_curve_shows_both_accuracies() -> None:
    drawn = curve(HISTORY, width=60)
    assert "training %" in drawn and "validation %" in drawn
    assert len(drawn.splitlines()) == 14
    detector = [{**row, "train_accuracy": None} for row in HISTORY]
    assert "training %" not in curve(detector, width=60)
