"""Training through the queue, with real workers: killed, cancelled, shut down; and every recipe once."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from cli.main import main
from fer_model.training.recipes import ABLATION, RECIPES
from tests.support.commands import succeed
from tests.support.databases import query
from tests.support.stack import running_worker
from tests.support.tiny import write_tiny_faces
from tests.support.watching import until
from workers.queue.local_stack import local_redis, stack_folder

EPOCHS = 4

GMACS = {48: 0.0232, 96: 0.0728}
"""Side of the input in pixels -> 10^9 multiply-adds of one EfficientNet-B0."""


@dataclass(frozen=True)
class Training:
    """A Redis server, a database, a store of models and tiny data; workers come and go."""

    environment: dict[str, str]
    folder: Path

    @property
    def url(self) -> str:
        """The database's."""
        return self.environment["FER_DATABASE_URL"]

    @contextmanager
    def worker(self) -> Iterator["subprocess.Popen[bytes]"]:
        """A worker that serves the training queue."""
        log = self.folder / "worker.log"
        with running_worker(self.environment | {"FER_QUEUES": "train"}, log) as process:
            yield process
        print(f"--- the workers' log ---\n{log.read_text()[-4000:]}")

    def train(self, *words: str) -> list[str]:
        """Queues a classifier's training with one thread; returns the ids of its runs."""
        options = ("--data", str(self.folder / "fer2013.csv"), "--batch", "16", "--threads", "1", *words)
        return succeed("train", "classifier", *options, **self.environment).stdout.split()

    def state(self, run: str) -> str:
        return str(query(self.url, "SELECT state FROM jobs WHERE id = :run", run=run)[0][0])

    def epochs(self, run: str) -> list[int]:
        rows = query(self.url, "SELECT epoch FROM training_epochs WHERE job_id = :run ORDER BY epoch", run=run)
        return [epoch for (epoch,) in rows]

    def model(self, run: str) -> str:
        """The run's model, whose id is the hash of its weights; waits for it."""
        succeed("train", "status", run, "--wait", **self.environment)
        ((model, error),) = query(
            self.url,
            "SELECT model_id, error FROM training_runs r JOIN jobs j ON j.id = r.job_id WHERE j.id = :run",
            run=run,
        )
        assert error is None
        return str(model)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    """Everything but a worker."""
    from results.database import upgrade

    folder = tmp_path_factory.mktemp("training")
    write_tiny_faces(folder / "fer2013.csv", training=32)
    url = f"sqlite:///{folder / 'results.db'}"
    upgrade(url)
    with stack_folder() as place, local_redis(place) as broker:
        environment = {"FER_DATABASE_URL": url, "FER_BROKER_URL": broker, "FER_MODELS_DIR": str(folder / "models")}
        yield Training({**environment, "OMP_NUM_THREADS": "1"}, folder)


@pytest.fixture(scope="module")
def killed(training: Training) -> list[str]:
    """Two runs of one definition: one undisturbed, and one whose worker, children and all, was killed."""
    with training.worker() as worker:
        (first,) = training.train("--recipe", "best_mixed", "--epochs", str(EPOCHS))
        (second,) = training.train("--recipe", "best_mixed", "--epochs", str(EPOCHS))
        # Read from the database: before a command reports the first run's end, the second could have ended too.
        until(lambda: training.epochs(second), 300)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    assert training.model(first)
    assert training.state(second) == "running" and 1 <= len(training.epochs(second)) < EPOCHS
    # So that the test need not wait until the lease expires.
    forget = "UPDATE shards SET heartbeat_at = '2026-01-01 00:00:00', queued_at = NULL WHERE state = 'running'"
    execute(training.url, forget)
    return [first, second]


@pytest.fixture(scope="module")
def worker(training: Training, killed: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The worker that comes after the one that was killed."""
    with training.worker() as process:
        yield process


def execute(url: str, statement: str) -> None:
    from sqlalchemy import text

    from results.database import connect, writing

    engine = connect(url)
    with writing(engine) as session:
        session.execute(text(statement))
    engine.dispose()


def test_another_worker_goes_on_to_the_very_same_weights(
    training: Training, killed: list[str], worker: "subprocess.Popen[bytes]"
) -> None:
    first, second = killed
    assert training.model(second) == training.model(first)
    assert training.epochs(first) == training.epochs(second) == list(range(1, EPOCHS + 1))
    losses = "SELECT loss FROM training_epochs WHERE job_id = :run ORDER BY epoch"
    assert query(training.url, losses, run=first) == query(training.url, losses, run=second)
    workers = query(training.url, "SELECT count(DISTINCT worker), max(epoch) FROM shards")
    assert workers == [(2, 2)], "the second run was taken up by another process"
    assert not any((training.folder / "models" / "runs").iterdir())


def test_every_recipe_trains_through_the_queue_and_the_result_can_be_evaluated(
    training: Training, worker: "subprocess.Popen[bytes]"
) -> None:
    runs = training.train("--recipe", "all", "--epochs", "1")
    runs += [
        run for recipe in set(RECIPES) - set(ABLATION) for run in training.train("--recipe", recipe, "--epochs", "1")
    ]
    models = {training.model(run) for run in runs}
    assert len(models) == len(RECIPES)
    recipes = dict(query(training.url, "SELECT id, recipe FROM models WHERE source = 'trained'"))
    assert {recipes[model] for model in models} == set(RECIPES)
    for model in models:
        report = evaluated(training, model)
        assert report["n"] == 21 and 0 <= report["accuracy"] <= 100
        assert report["gmacs"] == pytest.approx(GMACS[RECIPES[recipes[model]].side], abs=1e-3)


def evaluated(training: Training, model: str) -> dict[str, Any]:
    """The output of `evaluate --json` for a model; in this process, where torch is loaded once."""
    data = ("--data", str(training.folder / "fer2013.csv"), "--split", "PublicTest", "--json")
    runner = CliRunner(env={**training.environment, "FER_DEVICE": "cpu"})
    run = runner.invoke(main, ["evaluate", "--model", model, *data], catch_exceptions=False)
    assert run.exit_code == 0, run.stderr
    report: dict[str, Any] = json.loads(run.stdout)
    return report


def test_a_detector_trains_through_the_queue(
    training: Training, worker: "subprocess.Popen[bytes]", samples: Path
) -> None:
    data = training.folder / "faces"
    for number in range(8):
        for kind in ("images", "labels"):
            (data / kind / "train").mkdir(parents=True, exist_ok=True)
        picture = Image.open(samples / "zidane.jpg").resize((160 + 10 * number, 90))
        picture.save(data / "images" / "train" / f"{number}.jpg")
        (data / "labels" / "train" / f"{number}.txt").write_text("0 0.28 0.35 0.1 0.25\n")
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    words = ("--data", str(data), "--epochs", "1", "--batch", "4", "--threads", "1", "--name", "tiny faces")
    run = succeed("train", "detector", *words, "--wait", **training.environment).stdout.strip()
    ((kind, name, facts),) = query(training.url, "SELECT kind, name, facts FROM models WHERE job_id = :run", run=run)
    assert (kind, name) == ("detector", "tiny faces")
    assert 0 <= json.loads(facts)["ap50_from_10_px"] <= 1
    assert training.epochs(run) == [1]
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before, "nothing is written into the data"


def test_cancelling_stops_a_run_in_the_middle(training: Training, worker: "subprocess.Popen[bytes]") -> None:
    (run,) = training.train("--recipe", "crp", "--epochs", "200")
    until(lambda: training.epochs(run), 120)
    succeed("cancel", run, **training.environment)
    assert training.state(run) == "cancelled"
    (after,) = training.train("--recipe", "crp", "--epochs", "1")
    assert training.model(after), "the worker is free for the next one"
    assert len(training.epochs(run)) < 200


def test_a_worker_that_is_asked_to_stop_gives_its_run_back(
    training: Training, worker: "subprocess.Popen[bytes]"
) -> None:
    """The last of the tests: it ends the worker that they share."""
    (run,) = training.train("--recipe", "crp", "--epochs", "200")
    until(lambda: training.epochs(run), 120)
    worker.terminate()
    assert worker.wait(60) == 0
    # The worker's last sweep may or may not have requeued it already.
    shard = query(training.url, "SELECT state, attempts FROM shards WHERE job_id = :run", run=run)
    assert shard == [("pending", 0)]
    assert training.state(run) == "running" and list(
        (training.folder / "models" / "runs" / run).glob("*/checkpoint.pt")
    )
    succeed("cancel", run, **training.environment)
