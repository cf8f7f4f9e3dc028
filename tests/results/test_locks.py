"""Locks on PostgreSQL: of workers that are frozen, cut off, or in each other's way."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from time import sleep
from typing import Any, TypeVar

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from results import database as database_module
from results import shards, tables
from results.closing import close_job, ready_to_close
from results.database import connect, reading, writing
from results.errors import DatabaseBusyError, DatabaseUnreachableError
from results.jobs import cancel_job, create_job, retry_job
from results.leases import claim, fail, renew
from results.plans import MediaPlan, ShardPlan
from results.stuck import end_stuck_copies
from results.tables import Job, Media, Shard
from tests.support.cluster import wait_for
from tests.support.rows import FOUR_PICTURES, ONE_VIDEO, THREE_SECONDS, TWO_PICTURES_EACH, new_job, take

T = TypeVar("T")

pytestmark = pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)


@pytest.fixture
def other(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Another worker's connections, which wait a second for a lock."""
    monkeypatch.setattr(database_module, "LOCK_S", 1)
    database = connect(migrated_url)
    yield database
    database.dispose()


@contextmanager
def meanwhile(other: Database, call: Callable[[Session], T]) -> Iterator[tuple[Callable[[], None], Callable[[], T]]]:
    """Functions: one calls `call` in a transaction of its own until that waits for a lock, one gives its result."""
    started: list[Future[T]] = []

    def run() -> T:
        with writing(other) as session:
            return call(session)

    def wait() -> None:
        started.append(pool.submit(run))
        waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        with reading(other) as watching:
            while not watching.scalar(waits):
                watching.rollback()

    with ThreadPoolExecutor(1) as pool:
        yield wait, lambda: started[0].result()


def test_a_worker_frozen_in_copy_loses_its_locks(database: Database, other: Database) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        held = take(session, 1)
    with pytest.raises(DatabaseUnreachableError), writing(database) as session:
        renew(session, held, {})
        driver: Any = session.connection().connection.driver_connection
        statement = "COPY frames (media_id, frame_index, shard_id, time_ms, faces) FROM STDIN"
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write_row((1, 0, 1, 0, 0))
            # It sends nothing more; another worker finds its lease expired.
            with pytest.raises(DatabaseBusyError), writing(other) as theirs:
                claim(theirs, 1, "another", lease_s=-1)
            with writing(other) as theirs:
                assert end_stuck_copies(theirs) == 0, "it is not silent for long enough"
                assert end_stuck_copies(theirs, silent_s=0) == 1
            with writing(other) as theirs:
                assert claim(theirs, 1, "another", lease_s=-1) is not None
        session.execute(text("SELECT 1"))


def test_a_slow_copy_is_left_alone_as_long_as_it_advances(database: Database, other: Database) -> None:
    received = text(
        "SELECT bytes_processed FROM pg_stat_progress_copy JOIN pg_stat_activity USING (pid) "
        "WHERE wait_event = 'ClientRead' AND pg_stat_activity.datname = current_database()"
    )

    def has_arrived(count: int) -> bool:
        with reading(other) as session:
            return session.scalar(received) == count

    def ended() -> int:
        with writing(other) as session:
            return end_stuck_copies(session, silent_s=0.2)

    counts: list[int] = []
    with pytest.raises(DatabaseUnreachableError), writing(database) as session:
        session.execute(text("CREATE TEMPORARY TABLE lines (line text)"))
        driver: Any = session.connection().connection.driver_connection
        with driver.cursor() as cursor, cursor.copy("COPY lines FROM STDIN") as copy:
            for sent in range(1, 4):
                copy.write("x" * 99_999 + "\n")
                driver.pgconn.flush()
                wait_for(partial(has_arrived, 100_000 * sent), "the server waits for more")
                counts.append(ended())
                sleep(0.3)
            counts.append(ended())
        session.execute(text("SELECT 1"))
    assert counts == [0, 0, 0, 1], "only once it received nothing more"


def test_each_session_has_limits_of_its_own_whatever_the_server_says(database: Database) -> None:
    name = database.url.database
    with writing(database) as session:
        session.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"))
        session.execute(text(f"ALTER DATABASE {name} SET lock_timeout = 0"))
    ours = connect(database.url.render_as_string(hide_password=False))
    names = ("transaction_isolation", "lock_timeout", "idle_in_transaction_session_timeout")
    with reading(ours) as session:
        found = [session.scalar(text(f"SHOW {name}")) for name in names]
    ours.dispose()
    with writing(database) as session:
        session.execute(text(f"ALTER DATABASE {name} RESET ALL"))
    assert found == ["read committed", "30s", "1min"]


def test_cancelling_while_a_worker_splits_a_video_leaves_nothing_pending(database: Database, other: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("film.mp4", "video")], [ShardPlan(0, 0, 0, video=True)])
        held = take(session, 1)

    segments = [ShardPlan(0, 0, 10, video=True, start_ms=s, end_ms=s + 1, start_frame=s) for s in range(3)]
    with meanwhile(other, partial(cancel_job, job_id=job_id)) as (wait, answer), writing(database) as session:
        shards.split(session, held, {"width": 640}, segments)
        wait()
    assert answer()
    with reading(database) as session:
        assert list(session.scalars(select(Shard.state))) == ["cancelled"] * 3


def test_a_retry_waits_for_the_worker_that_closes_the_job(database: Database, other: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        for shard in (1, 2):
            shards.complete(session, take(session, shard), [], [])
        fail(session, take(session, 3), "damaged")
    with meanwhile(other, partial(retry_job, job_id=job_id)) as (wait, answer), writing(database) as session:
        assert ready_to_close(session, job_id)
        wait()
        assert close_job(session, job_id)
    assert answer() == 1
    with reading(database) as session:
        assert session.scalars(select(Job.state)).one() == "running"
        assert session.scalars(select(Media.state)).one() == "pending"


def test_two_retries_at_once_add_one_shard_for_a_failed_picture(database: Database, other: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        shards.complete(session, take(session, 1), [], [], [{"id": 1}, {"id": 2, "state": "failed"}])
        shards.complete(session, take(session, 2), [], [])
        assert close_job(session, job_id)
    with meanwhile(other, partial(retry_job, job_id=job_id)) as (wait, answer), writing(database) as session:
        assert retry_job(session, job_id) == 1
        wait()
    assert answer() == 0
    with reading(database) as session:
        assert list(session.scalars(select(Shard.first_position).where(Shard.state == "pending"))) == [1]


def test_a_retry_and_a_cancellation_do_not_stop_each_other(database: Database, other: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        fail(session, take(session, 1), "damaged")
    with meanwhile(other, partial(cancel_job, job_id=job_id)) as (wait, answer), writing(database) as session:
        session.execute(select(Job.id).where(Job.id == job_id).with_for_update(key_share=True))
        wait()
        assert retry_job(session, job_id) == 1
    assert answer()


def test_a_job_is_dated_by_the_servers_clock(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    class WrongClock(datetime):
        """A machine that is 25 years late."""

        @classmethod
        def now(cls, zone: Any = None) -> Any:
            return cls(2001, 1, 1, tzinfo=zone)

    monkeypatch.setattr(tables, "datetime", WrongClock)
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={})
        now = session.scalar(text("SELECT clock_timestamp()"))
    assert abs((now - job.created_at).total_seconds()) < 60
    assert job.id.startswith(f"{job.created_at:%Y%m%dT%H%M%S}")
