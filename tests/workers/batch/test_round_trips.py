"""A shard's round trips to the database: each one costs more than the rest of a small shard's work."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from results.database import reading, writing
from results.jobs import create_job
from results.plans import add_plan
from results.read.status import job_status
from results.tables import Shard
from tests.support.idle import IdleEngine
from workers.batch import planning
from workers.batch.planning import BatchOptions, plan
from workers.batch.processing import process_shard
from workers.queue import dispatching
from workers.queue.app import make_app
from workers.settings import Settings

APP = make_app(Settings(broker_url="redis://127.0.0.1:1/0"))
"""No message is sent here."""

CLAIM, ROWS, NEXT = 4, 3, 1
"""Statements in each of a shard's transactions, all of which the worker waits for."""


@pytest.fixture(autouse=True)
def no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """No heartbeats: they would be counted too."""
    monkeypatch.setattr("workers.lease.heartbeat.HEARTBEAT_S", 3600)


def planned(database: Database, folder: Path, pictures: int) -> tuple[str, list[int]]:
    """A job of so many tiny pictures: its id and those of its shards."""
    folder.mkdir()
    for number in range(pictures):
        cv2.imwrite(str(folder / f"{number}.png"), np.zeros((32, 32, 3), np.uint8))
    options = BatchOptions()
    media, shards = plan([str(folder)], options, ())
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options=options.as_dict())
        add_plan(session, job.id, media, shards)
        return job.id, list(session.scalars(select(Shard.id).where(Shard.job_id == job.id).order_by(Shard.id)))


def work(database: Database, shard_id: int) -> None:
    """As the task does, without its messages."""

    def mark(session: Session, job_id: str) -> Callable[[], None]:
        dispatching.queue_next(APP, session, job_id)
        return lambda: None

    job_id = process_shard(
        database,
        Settings(),
        shard_id,
        "test",
        lambda models: IdleEngine(len(models.members)),
        queue=mark,
    )
    assert job_id is not None
    dispatching.advance(APP, database, job_id)


@pytest.mark.parametrize("pictures_each", [1, 20])
def test_a_shard_is_three_transactions_of_eight_statements(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures_each: int
) -> None:
    monkeypatch.setattr(planning, "PICTURES_PER_SHARD", pictures_each)
    job_id, ids = planned(database, tmp_path / "pictures", 6 * pictures_each)
    with writing(database) as session:
        dispatching.queue_next(APP, session, job_id)
    # The first starts the job and writes the shipped ensemble into the catalogue.
    work(database, ids[0])
    transactions: list[list[str]] = []

    def begin(*_: object) -> None:
        transactions.append([])

    def say(connection: object, cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            transactions[-1].append(statement)

    event.listen(database, "begin", begin)
    event.listen(database, "before_cursor_execute", say)
    work(database, ids[1])
    event.remove(database, "begin", begin)
    event.remove(database, "before_cursor_execute", say)
    # COPY, by which PostgreSQL gets the rows, does not go through SQLAlchemy.
    rows = ROWS - (database.dialect.name == "postgresql")
    assert [len(statements) for statements in transactions] == [CLAIM, rows, NEXT], transactions
    with reading(database) as session:
        assert job_status(session, job_id).frames == 2 * pictures_each
