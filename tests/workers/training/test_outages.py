"""A training run waits for a database that is away."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine as Database

from results import leases, shards
from results.database import reading
from results.errors import DatabaseUnreachableError
from results.tables import Shard
from results.training import (
    record_epoch,
)
from tests.support.outages import always_away, away_once
from tests.support.training_runs import plan_for, queued, status_of
from workers.settings import Settings
from workers.training.run import train


class Outage:
    """Wraps `record_epoch`; fails a number of times first, like a database that restarts."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self, *row: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise DatabaseUnreachableError
        record_epoch(*row)


def test_a_database_that_is_away_for_a_moment_ends_nothing(
    database: Database, faces: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)
    monkeypatch.setattr("workers.training.run.training.record_epoch", Outage(3))
    run, shard = queued(database, plan_for(faces))
    assert train(database, settings, shard, "w", "cpu")
    assert (status_of(database, run).state, status_of(database, run).epoch) == ("done", 2)


def test_a_database_that_stays_away_ends_the_attempt(
    database: Database, faces: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)
    monkeypatch.setattr("workers.training.run.training.record_epoch", always_away)
    run, shard = queued(database, plan_for(faces))
    assert train(database, settings.model_copy(update={"lease_seconds": 2.0}), shard, "w", "cpu")
    assert status_of(database, run).state == "running", "another worker goes on"
    with reading(database) as session:
        row = session.get_one(Shard, shard)
    assert (row.state, row.attempts, row.queued_at) == ("pending", 0, None), "at once, and the attempt is not counted"


@pytest.mark.parametrize(
    ("module", "name", "changes", "state"),
    [
        (leases, "claim", {}, "done"),
        (shards, "complete", {}, "done"),
        (leases, "fail", {"learning_rate": 1e30}, "failed"),
    ],
)
def test_each_step_of_a_run_waits_for_a_database_that_is_away(
    database: Database,
    faces: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    module: ModuleType,
    name: str,
    changes: dict[str, Any],
    state: str,
) -> None:
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)
    monkeypatch.setattr(module, name, away_once(getattr(module, name)))
    run, shard = queued(database, plan_for(faces, epochs=1, **changes))
    assert train(database, settings, shard, "w", "cpu")
    assert status_of(database, run).state == state


def test_a_run_that_is_given_back_waits_for_a_database_that_is_away(
    database: Database, faces: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)
    monkeypatch.setattr(leases, "requeue", away_once(leases.requeue))
    _, shard = queued(database, plan_for(faces))
    assert train(database, settings, shard, "w", "cpu", lambda: True)
    with reading(database) as session:
        row = session.get_one(Shard, shard)
    assert (row.state, row.attempts, row.queued_at) == ("pending", 0, None)
