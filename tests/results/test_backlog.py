"""Which shards get a message, and when a lost one is sent again."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from results.backlog import (
    LEAST_WAITING,
    SILENT_S,
    forget_lost_messages,
    jobs_to_sweep,
    longest_waits,
    pass_on,
    release_silent,
    streams_need_sweep,
)
from results.database import reading, writing
from results.jobs import cancel_job, create_job, utc_now
from results.leases import DIED, EXPIRED_LEASE, STREAM_LEASE_S
from results.plans import ShardPlan, add_plan
from results.streams import StreamOptions, add_stream
from results.tables import Job, Shard, ShardAttempt
from tests.support.rows import (
    ONE_VIDEO,
    THREE_SECONDS,
    new_job,
    pending_to_queue,
    silence,
    take,
)


def test_as_many_shards_wait_as_are_worked_on(database: Database) -> None:
    with writing(database) as session:
        job = new_job(session, ONE_VIDEO, THREE_SECONDS * 4)
        assert pending_to_queue(session, job) == [1, 2], "a large job does not fill the queue"
        assert pending_to_queue(session, job) == []
        take(session, 1)
        assert pending_to_queue(session, job) == [3]
        for shard in (2, 3):
            take(session, shard)
        assert pending_to_queue(session, job) == [4, 5, 6], "three are worked on, so three may wait"
        assert LEAST_WAITING == 2


def test_a_shard_whose_worker_fell_silent_is_queued_once_for_each_lease(database: Database) -> None:
    with writing(database) as session:
        job = new_job(session, ONE_VIDEO, THREE_SECONDS)
        assert pending_to_queue(session, job) == [1, 2]
        take(session, 1)
        silence(session, 1)
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        session.execute(update(Shard).where(Shard.id == 1).values(queued_at=long_ago))
        assert pending_to_queue(session, job) == [1]
        assert pending_to_queue(session, job) == []
        session.execute(update(Shard).where(Shard.id == 1).values(queued_at=long_ago))
        assert pending_to_queue(session, job) == [1], "that message got lost too"


def test_a_message_that_is_not_in_the_queue_is_sent_again(database: Database) -> None:
    with writing(database) as session:
        job = new_job(session, ONE_VIDEO, THREE_SECONDS)
        assert pending_to_queue(session, job) == [1, 2]
        assert forget_lost_messages(session, [job], []) == 0, "they may be on their way"
        assert forget_lost_messages(session, [job], [2], age_s=0) == 1
        assert pending_to_queue(session, job) == [1]
        take(session, 1)
        assert forget_lost_messages(session, [job], [2], age_s=0) == 0, "who works needs no message"


def test_only_unfinished_jobs_with_shards_are_swept(database: Database) -> None:
    with writing(database) as session:
        first, second = new_job(session, ONE_VIDEO, THREE_SECONDS), new_job(session, ONE_VIDEO, THREE_SECONDS)
        assert list(jobs_to_sweep(session)) == sorted([first, second])
        assert list(jobs_to_sweep(session, ["elsewhere"])) == []
        session.execute(update(Job).where(Job.id == first).values(kind="evaluate"))
        assert list(jobs_to_sweep(session)) == [second]


def a_stream(session: Session, worker: str) -> int:
    """A stream that this worker has; its shard."""
    job = add_stream(session, worker, f"rtsp://{worker}/", None, StreamOptions())
    shard = session.scalars(select(Shard.id).where(Shard.job_id == job.id)).one()
    take(session, shard, worker)
    return shard


def test_a_stream_is_free_when_its_worker_is_silent_for_a_lease_or_has_gone(database: Database) -> None:
    with writing(database) as session:
        assert not streams_need_sweep(session)
        names = ("gone", "gone, just now", "hangs", "slow", "well")
        gone, _, hangs, slow, _ = shards = [a_stream(session, name) for name in names]
        assert not streams_need_sweep(session), "all have a worker"
        for shard, seconds in ((gone, SILENT_S + 1), (hangs, STREAM_LEASE_S + 1), (slow, SILENT_S + 1)):
            silence(session, shard, seconds)
        assert streams_need_sweep(session)
        assert release_silent(session, lambda worker: worker.startswith("gone")) == [gone, hangs]
        assert release_silent(session, lambda worker: worker.startswith("gone")) == []
    with reading(database) as session:
        states = {shard: session.get_one(Shard, shard).state for shard in shards}
        reasons = {row.shard_id: (row.worker, row.counted, row.error) for row in session.scalars(select(ShardAttempt))}
    assert [shard for shard, state in states.items() if state == "pending"] == [gone, hangs]
    assert reasons == {gone: ("gone", True, DIED), hangs: ("hangs", True, EXPIRED_LEASE)}


def test_a_stream_that_is_passed_on_gets_its_next_message_after_a_pause(database: Database) -> None:
    with writing(database) as session:
        job = add_stream(session, "door", "rtsp://door/", None, StreamOptions()).id
        (shard,) = pending_to_queue(session, job)
        assert pass_on(session, shard, 0)
        assert pending_to_queue(session, job) == [shard]
        assert pass_on(session, shard, 3600)
        assert pending_to_queue(session, job) == []
        assert pass_on(session, shard, 0)
        assert pending_to_queue(session, job) == [], "the longer pause stays"
        assert list(jobs_to_sweep(session)) == [job]
        taken = a_stream(session, "taken")
        assert not pass_on(session, taken, 0), "another has it"


def test_the_longest_wait_is_that_of_a_queued_unclaimed_shard(database: Database) -> None:
    with writing(database) as session:
        ids = []
        for queue in ("batch", "batch", "other"):
            job, _ = create_job(session, kind="batch", name=None, options={}, queue=queue)
            add_plan(session, job.id, ONE_VIDEO, [ShardPlan(0, 0, 1)] * 3)
            ids.append(job.id)
        numbers = session.scalars(select(Shard.id).order_by(Shard.id)).all()
        for number, seconds in zip(numbers[:5], (900, 100, 50, 700, 800), strict=True):
            queued_at = utc_now(session) - timedelta(seconds=seconds)
            session.execute(update(Shard).where(Shard.id == number).values(queued_at=queued_at))
        take(session, numbers[0])
        cancel_job(session, ids[1])
    with reading(database) as session:
        waits = longest_waits(session, ["batch", "other", "empty"])
    assert waits == {"batch": pytest.approx(100, abs=30), "other": 0.0, "empty": 0.0}
