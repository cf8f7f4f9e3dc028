"""The life of a lease, on both databases: the outcome of each ending, and outages that change nothing.

The body of a lease swallows errors, failed assertions too: what a test asserts in one is seen in its outcome.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select
from sqlalchemy.orm import Session

from fer_model.errors import TransientMediaError, UnreadableMediaError
from results import leases, shards
from results.database import reading, writing
from results.errors import DatabaseReadOnlyError, DatabaseUnreachableError, JobCancelledError, ShardLostError
from results.jobs import cancel_job
from results.leases import MAX_ATTEMPTS, Claim
from results.plans import MediaPlan, ShardPlan
from results.tables import Frame, Job, Shard
from tests.support.outages import away_once
from tests.support.rows import FOUR_PICTURES, THREE_SECONDS, TWO_PICTURES_EACH, frame, new_job
from tests.support.watching import until
from workers.errors import WorkerStoppingError
from workers.lease.holding import Lease, Outcome, lease

SHARD = 1
ROWS = [frame(1, 0, 0, 0), frame(2, 0, 0, 0)]


@pytest.fixture
def job(database: Database) -> str:
    """A job of two shards of two pictures each; its id."""
    with writing(database) as session:
        return new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between retries are short."""
    monkeypatch.setattr("workers.lease.outages.PAUSE_S", 0.01)


def nothing(session: Session, claim: Claim) -> None:
    """Needs nothing in the transaction of the claim."""


def held(database: Database, worker: str = "w", **terms: Any) -> AbstractContextManager[Lease[None] | None]:
    """A lease on the terms of most tests."""
    return lease(database, SHARD, worker, nothing, **{"lease_s": 60.0, "heartbeat_s": 0.02, **terms})


@contextmanager
def taken(database: Database, worker: str = "w", **terms: Any) -> Iterator[Lease[None]]:
    """As `held`, of a shard that can be claimed."""
    with held(database, worker, **terms) as ours:
        assert ours is not None
        yield ours


def write(session: Session, claim: Claim) -> None:
    """The rows of the shard's work."""
    shards.complete(session, claim, ROWS, [])


def checked(ours: Lease[None]) -> bool:
    """False, until a check raises."""
    ours.check()
    return False


def end_with(error: Exception) -> None:
    """The work ends with this error."""
    raise error


def shard(database: Database) -> Shard:
    with reading(database) as session:
        return session.get_one(Shard, SHARD)


def rows(database: Database) -> int:
    with reading(database) as session:
        return len(session.scalars(select(Frame)).all())


def work(database: Database, error: Exception | None = None, **terms: Any) -> Outcome:
    """Holds the shard, and ends with the error or with its rows; the outcome."""
    ends: list[Outcome] = []
    with taken(database, ended=lambda outcome, seconds: ends.append(outcome), **terms) as ours:
        if error is not None:
            raise error
        ours.commit(write)
    (outcome,) = ends
    assert outcome == ours.outcome
    return outcome


def test_a_body_that_commits_its_work_is_done(database: Database, job: str) -> None:
    assert work(database) == "done"
    assert (shard(database).state, shard(database).attempts, rows(database)) == ("done", 1, 2)
    with held(database) as again:
        pass
    assert again is None, "a finished shard cannot be claimed"


def test_a_shard_that_another_worker_holds_is_not_yielded(database: Database, job: str) -> None:
    with taken(database, "first") as first, held(database, "second") as second:
        pass
    assert (first.outcome, second, shard(database).worker) == ("done", None, "first")


def test_what_begins_the_work_is_part_of_the_claim(database: Database, job: str) -> None:
    def begin(session: Session, claim: Claim) -> str:
        return session.get_one(Job, claim.job_id).state

    def broken(session: Session, claim: Claim) -> None:
        raise OSError("on purpose")

    terms: Any = {"lease_s": 60.0, "heartbeat_s": 60.0}
    with pytest.raises(OSError, match="on purpose"), lease(database, SHARD, "w", broken, **terms):
        raise AssertionError("not reached")
    assert (shard(database).state, shard(database).epoch) == ("pending", 0), "the claim was rolled back with it"
    with lease(database, SHARD, "w", begin, **terms) as ours:
        pass
    assert ours is not None and ours.begun == "running"


def test_heartbeats_renew_the_lease_and_report_progress(database: Database, job: str) -> None:
    found = [3, 1]
    with taken(database, counts=lambda: (found[0], found[1])) as ours:
        first = shard(database).heartbeat_at
        until(lambda: (shard(database).frames, shard(database).faces) == (3, 1))
        found[0] = 7
        until(lambda: shard(database).frames == 7)
        assert first is not None and (shard(database).heartbeat_at or first) > first
    assert ours.outcome == "done"


def test_a_cancelled_lease_ends_quietly(database: Database, job: str) -> None:
    with taken(database) as ours:
        with writing(database) as session:
            cancel_job(session, job)
        with pytest.raises(JobCancelledError):
            until(lambda: checked(ours))
        ours.commit(write)
    assert (ours.outcome, shard(database).state, rows(database)) == ("cancelled", "cancelled", 0)


def test_a_lost_lease_ends_quietly(database: Database, job: str) -> None:
    with taken(database, "late") as ours:
        with writing(database) as session:
            assert leases.claim(session, SHARD, "successor", lease_s=-1) is not None
        with pytest.raises(ShardLostError):
            until(lambda: checked(ours))
        ours.commit(write)
    assert (ours.outcome, shard(database).worker, rows(database)) == ("lost", "successor", 0)


@pytest.mark.parametrize("error", [OSError("on purpose"), UnreadableMediaError("text.jpg"), WorkerStoppingError()])
def test_a_worker_that_lost_its_lease_decides_nothing(database: Database, job: str, error: Exception) -> None:
    with taken(database, "late", heartbeat_s=3600.0) as ours:
        with writing(database) as session:
            assert leases.claim(session, SHARD, "successor", lease_s=-1) is not None
        end_with(error)
    row = shard(database)
    assert (ours.outcome, row.state, row.worker, row.error) == ("lost", "running", "successor", None)


def test_a_stopping_worker_requeues_without_counting(database: Database, job: str) -> None:
    with taken(database, stopping=lambda: True) as ours:
        ours.check()
    row = shard(database)
    assert (ours.outcome, row.state, row.attempts, row.queued_at) == ("given_back", "pending", 0, None)


def test_an_outage_that_lasts_requeues_without_counting(database: Database, job: str, quick: None) -> None:
    def away(session: Session, claim: Claim) -> None:
        raise DatabaseUnreachableError

    for _ in range(MAX_ATTEMPTS + 1):
        with taken(database, lease_s=0.1) as ours:
            ours.commit(away)
        row = shard(database)
        assert (ours.outcome, row.state, row.attempts, row.queued_at) == ("given_back", "pending", 0, None)


def test_an_outage_of_every_attempt_counts_none(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """The database is away for longer than a lease, as often as a shard has attempts, and another takes it over."""

    def away(*_: object, **__: object) -> None:
        raise DatabaseUnreachableError

    for _ in range(MAX_ATTEMPTS + 1):
        with taken(database, lease_s=0.1) as ours, monkeypatch.context() as outage:
            outage.setattr(leases, "heartbeat", away)
            time.sleep(0.1)
            outage.undo()
            with writing(database) as session:
                taken_over = leases.claim(session, SHARD, "another", lease_s=-1)
            until(lambda: checked(ours))
        assert (ours.outcome, shard(database).attempts) == ("lost", 1)
        with writing(database) as session:
            assert taken_over is not None and leases.requeue(session, taken_over, counted=False)
        assert (shard(database).state, shard(database).attempts) == ("pending", 0)


def test_a_time_limit_that_is_over_in_an_outage_counts_no_attempt(
    database: Database, job: str, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    outage = pytest.MonkeyPatch()

    def away(*_: object, **__: object) -> None:
        raise DatabaseUnreachableError

    class SoftTimeLimitExceeded(Exception):
        pass

    def over() -> None:
        raise SoftTimeLimitExceeded

    outage.setattr(leases, "requeue", away)
    with pytest.raises(DatabaseUnreachableError), taken(database) as ours:
        monkeypatch.setattr("workers.lease.outages.time.sleep", lambda _: over())
        ours.commit(away)
    outage.undo()
    assert (shard(database).state, shard(database).attempts) == ("running", 1)
    with held(database) as again:
        assert again is not None, "it is requeued before the next claim"
    assert shard(database).attempts == 1


def test_a_heartbeat_survives_any_error(database: Database, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [KeyError("on purpose"), MemoryError(), DatabaseUnreachableError()]
    beat = leases.heartbeat

    def faulty(*given: Any) -> None:
        if errors:
            raise errors.pop()
        beat(*given)

    monkeypatch.setattr(leases, "heartbeat", faulty)
    with taken(database, counts=lambda: (5, 2)) as ours:
        until(lambda: shard(database).frames == 5)
    assert (ours.outcome, errors) == ("done", [])


def test_a_permanent_error_fails_the_shard(database: Database, job: str) -> None:
    assert work(database, UnreadableMediaError("text.jpg: is not a picture")) == "failed"
    row = shard(database)
    assert (row.state, row.attempts, row.error) == ("failed", 1, "text.jpg: is not a picture")


@pytest.mark.parametrize("error", [OSError("gone"), TransientMediaError("gone")])
def test_a_transient_error_requeues_the_shard_at_most_three_times(
    database: Database, job: str, error: Exception
) -> None:
    reason = "OSError: gone" if isinstance(error, OSError) else "gone"
    for attempt in range(1, MAX_ATTEMPTS):
        assert work(database, error) == "given_back"
        row = shard(database)
        assert (row.state, row.attempts, row.error, row.queued_at) == ("pending", attempt, reason, None)
    assert work(database, error) == "failed"
    assert shard(database).state == "failed"
    assert shard(database).error == f"tried {MAX_ATTEMPTS} times, without success: {reason}"


def test_the_caller_may_call_every_error_permanent(database: Database, job: str) -> None:
    assert work(database, OSError("gone"), is_permanent=lambda error: True) == "failed"
    assert (shard(database).attempts, shard(database).error) == (1, "OSError: gone")


def test_the_caller_may_fail_the_shard_with_more_to_say(database: Database, job: str) -> None:
    def fail(ours: Lease[None], reason: str) -> None:
        ours.commit(lambda session, claim: leases.fail(session, claim, f"{reason}; the rest is kept"))

    assert work(database, UnreadableMediaError("torn"), fail=fail) == "failed"
    assert shard(database).error == "torn; the rest is kept"


def test_a_database_that_cannot_take_the_outcome_is_reported(database: Database, job: str) -> None:
    ends: list[Outcome] = []
    with pytest.raises(DatabaseReadOnlyError), held(database, ended=lambda outcome, _: ends.append(outcome)):
        raise DatabaseReadOnlyError
    assert (shard(database).state, ends) == ("running", ["lost"]), "the lease expires"


@pytest.mark.parametrize(
    ("module", "name", "error", "outcome"),
    [
        (leases, "claim", None, "done"),
        (shards, "complete", None, "done"),
        (leases, "fail", UnreadableMediaError("torn"), "failed"),
        (leases, "requeue", OSError("gone"), "given_back"),
        (leases, "requeue", WorkerStoppingError(), "given_back"),
    ],
)
def test_each_step_waits_for_a_database_that_is_away(
    database: Database,
    job: str,
    monkeypatch: pytest.MonkeyPatch,
    quick: None,
    module: ModuleType,
    name: str,
    error: Exception | None,
    outcome: str,
) -> None:
    monkeypatch.setattr(module, name, away_once(getattr(module, name)))
    assert work(database, error) == outcome


def test_waiting_for_the_database_ends_when_the_lease_is_lost(database: Database, job: str, quick: None) -> None:
    def away(session: Session, claim: Claim) -> None:
        raise DatabaseUnreachableError

    with taken(database, "late") as ours:
        with writing(database) as session:
            assert leases.claim(session, SHARD, "successor", lease_s=-1) is not None
        ours.commit(away)
    assert (ours.outcome, shard(database).worker) == ("lost", "successor")


def test_seconds_are_those_since_the_claim(database: Database, job: str) -> None:
    took: list[float] = []
    with held(database, ended=lambda _, seconds: took.append(seconds)):
        began = time.monotonic()
        time.sleep(0.05)
        least = time.monotonic() - began
    assert took[0] >= least


@contextmanager
def answer_lost(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The next transaction of a lease is committed, and its worker does not learn of it."""
    lost: list[bool] = []

    @contextmanager
    def writing_to_a_server_that_restarts(database: Database) -> Iterator[Session]:
        with writing(database) as session:
            yield session
        if not lost:
            lost.append(True)
            raise DatabaseUnreachableError("server closed the connection")

    with monkeypatch.context() as patch:
        patch.setattr("workers.lease.holding.writing", writing_to_a_server_that_restarts)
        yield
    assert lost


def test_a_claim_whose_answer_is_lost_is_held(
    database: Database, job: str, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answer_lost(monkeypatch), taken(database) as ours:
        ours.commit(write)
    assert ours.outcome == "done" and rows(database) == 2
    assert (shard(database).epoch, shard(database).attempts) == (1, 1)


def test_a_split_whose_answer_is_lost_is_made_once(
    database: Database, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(database) as session:
        new_job(session, [MediaPlan("film.mp4", "video")], [ShardPlan(0, 0, planned_frames=0, video=True)])
    found = {"frame_count": 30, "error": "it is truncated"}
    with taken(database) as ours:
        with answer_lost(monkeypatch):
            ours.claim = ours.commit(lambda session, claim: shards.split(session, claim, found, THREE_SECONDS))
        assert (ours.claim.start_ms, ours.claim.end_ms) == (0, 1000)
        ours.commit(lambda session, claim: shards.complete(session, claim, [frame(1, 0, 0, 0)], []))
    with reading(database) as session:
        assert session.scalars(select(Shard.start_ms).order_by(Shard.id)).all() == [0, 1000, 2000]
