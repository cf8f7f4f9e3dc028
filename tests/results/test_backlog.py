"""Which shards get a message, and when a lost one is sent again."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, update

from results.backlog import LEAST_WAITING, forget_lost_messages, jobs_to_sweep, longest_waits
from results.database import reading, writing
from results.jobs import cancel_job, create_job, utc_now
from results.plans import ShardPlan, add_plan
from results.tables import Job, Shard
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
        session.execute(update(Job).where(Job.id == first).values(kind="stream"))
        assert list(jobs_to_sweep(session)) == [second]


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
