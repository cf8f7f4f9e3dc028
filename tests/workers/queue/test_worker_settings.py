"""A real worker whose options and environment contradict each other: its child processes follow the options too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from results.database import connect, upgrade
from tests.support.commands import ROOT
from tests.support.databases import query
from tests.support.watching import until
from workers.batch.planning import BatchOptions
from workers.batch.submitting import submit
from workers.queue.app import make_app
from workers.settings import Settings


@pytest.mark.usefixtures("prepared")
def test_the_processes_of_a_worker_have_its_options(broker: str, samples: Path, tmp_path: Path) -> None:
    url, log = f"sqlite:///{tmp_path / 'results.db'}", tmp_path / "worker.log"
    upgrade(url)
    options = {"--db": url, "--broker": broker, "--queues": "chosen", "--device": "cpu"}
    elsewhere = {
        "FER_DATABASE_URL": f"sqlite:///{tmp_path / 'other.db'}",
        "FER_BROKER_URL": "redis://127.0.0.1:1/0",
        "FER_QUEUES": "another",
        "FER_DEVICE": "cuda:99",
    }
    words = [word for pair in options.items() for word in pair]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli", "worker", *words],
            cwd=ROOT,
            env={**os.environ, **elsewhere},
            stdout=output,
            stderr=output,
        )
    try:
        app, database = make_app(Settings(database_url=url, broker_url=broker, queues="chosen")), connect(url)
        job = submit(app, database, [str(samples / "zidane.jpg")], BatchOptions()).job
        state = "SELECT state, error FROM jobs WHERE id = :id"
        until(lambda: query(url, state, id=job)[0][0] in ("done", "failed"), 120)
        assert query(url, state, id=job) == [("done", None)], log.read_text()
        assert query(url, "SELECT count(*) FROM faces")[0][0] > 0
        database.dispose()
    finally:
        process.terminate()
        process.wait(30)
    assert not (tmp_path / "other.db").exists()
