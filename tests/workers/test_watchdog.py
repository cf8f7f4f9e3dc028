"""The worker's main process: the deaths of its children."""

import os
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from sqlalchemy import Engine as Database

from results.database import reading, writing
from results.leases import claim
from results.recording import hour
from results.tables import Media, Shard
from tests.support.planning import planned
from tests.support.rows import new_stream, take_stream
from workers import retention, watchdog
from workers.lease.policy import TOO_LONG
from workers.process import WorkerProcess
from workers.queue.app import make_app
from workers.settings import Settings
from workers.watchdog import is_dead, on_death

HOST = os.uname().nodename


@pytest.fixture
def dead() -> str:
    """The name of a worker process of this host that has ended."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    return f"{HOST}:{ended.pid}"


def test_only_an_ended_process_of_this_host_is_dead(dead: str) -> None:
    assert is_dead(dead)
    assert not is_dead(f"{HOST}:{os.getpid()}")
    assert not is_dead(dead.replace(HOST, f"not-{HOST}")), "another host's processes cannot be seen"


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        (
            WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 3."),
            "the worker process died (signal 9 (SIGKILL)): a damaged file, or too little memory",
        ),
        (TimeLimitExceeded(660), TOO_LONG),
    ],
)
def test_the_shard_of_a_dead_child_is_reclaimed_although_the_broker_is_away(
    database: Database,
    samples: Path,
    dead: str,
    death: Exception,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = database.url.render_as_string(hide_password=False)
    worker = WorkerProcess(make_app(Settings(database_url=url, broker_url=f"redis+socket://{tmp_path}/none.sock")))
    monkeypatch.setattr(watchdog, "this_process", lambda: worker)
    _, (shard_id,) = planned(database, [samples / "zidane.jpg"])
    with writing(database) as session:
        claim(session, shard_id, dead)
    on_death(SimpleNamespace(name="process_shard"), (shard_id,), death)
    for thread in threading.enumerate():
        if thread.name == "reclaim":
            thread.join(60)
    worker.database.dispose()
    with reading(database) as session:
        shard = session.get_one(Shard, shard_id)
    assert (shard.state, shard.attempts, shard.error) == ("pending", 1, reason)


@pytest.mark.parametrize(("task", "error"), [("process_shard", ValueError()), ("finish_job", WorkerLostError())])
def test_other_failures_reclaim_nothing(task: str, error: Exception) -> None:
    on_death(SimpleNamespace(name=task), (1,), error)
    assert all(thread.name != "reclaim" for thread in threading.enumerate())


def test_streams_are_swept_apart_from_the_deletion_of_their_old_hours(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take hours after a pause, and messages for streams must not wait for it."""
    url = database.url.render_as_string(hide_password=False)
    app = make_app(Settings(database_url=url, broker_url=f"redis+socket://{tmp_path}/none.sock", queues="stream"))
    worker = WorkerProcess(app)
    with writing(database) as session:
        claimed = take_stream(session, new_stream(session, retention_ms=1000))
        place = hour(session, claimed, datetime(2026, 5, 1, tzinfo=UTC))
    monkeypatch.setattr(retention, "_next", 0.0)
    assert worker.serves_streams
    (sweep, _), (keep_house, _) = watchdog.rounds_of_streams(worker)

    def is_there() -> bool:
        with reading(database) as session:
            return session.get(Media, place.media_id) is not None

    sweep()
    assert is_there()
    # The process has one connection, and the sweep may have it.
    with worker.database.connect():
        keep_house()
    assert not is_there()
    worker.database.dispose()
