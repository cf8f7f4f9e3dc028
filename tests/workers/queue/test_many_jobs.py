"""Sweeps and retention of more jobs than a statement takes parameters: 65,535 on PostgreSQL."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import String, cast, insert, literal, select, update

from results.database import writing
from results.jobs import utc_now
from results.tables import Job, Shard
from workers import retention
from workers.queue.app import make_app
from workers.queue.dispatching import sweep
from workers.settings import Settings

MANY = 66_000


@pytest.fixture
def jobs(database: Database) -> Database:
    """A database of so many jobs of one shard each, whose message has just been sent."""
    numbers = select(literal(0).label("n")).cte(recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < MANY - 1))
    ids = literal("20260101T1") + cast(10**8 + numbers.c.n, String) + "-abcd"
    job = {"kind": literal("batch"), "queue": literal("many"), "options": literal({}, Job.options.type)}
    with writing(database) as session:
        session.execute(insert(Job).from_select(["id", *job], select(ids, *job.values())))
        shard = {"first_position": 0, "last_position": 0, "planned_frames": 1, "queued_at": utc_now(session)}
        session.execute(insert(Shard).from_select(["job_id", *shard], select(Job.id, *map(literal, shard.values()))))
    return database


def test_a_sweep_looks_at_all_of_them(jobs: Database, broker: str) -> None:
    app = make_app(Settings(broker_url=broker, queues="many"))
    with writing(jobs) as session:
        session.execute(update(Shard).where(Shard.id.in_((1, MANY))).values(queued_at=None))
    assert list(sweep(app, jobs, ["many"], age_s=3600).values()) == [1, 1]
    app.close()


def test_retention_finds_all_that_are_old(jobs: Database) -> None:
    with writing(jobs) as session:
        session.execute(update(Job).values(state="done", finished_at=utc_now(session) - timedelta(days=2)))
    assert len(retention.due(jobs, timedelta(days=1))) == MANY
