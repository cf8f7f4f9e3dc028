"""Leases: one owner at a time, by compare-and-set and fencing tokens."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import false, select, true

from results.closing import close_job, shards_left
from results.database import reading, writing
from results.errors import ShardLostError
from results.jobs import get_job, job_of_shard, start_job
from results.leases import DIED, MAX_ATTEMPTS, claim, fail, heartbeat, held_by, progress, reclaim, requeue, update_own
from results.media import media_of
from results.plans import ShardPlan
from results.read.status import job_status
from results.shards import complete
from results.tables import Media, Shard
from tests.support.rows import (
    FOUR_PICTURES,
    ONE_VIDEO,
    THREE_SECONDS,
    TWO_PICTURES_EACH,
    frame,
    new_job,
    silence,
    take,
)


def test_a_claim_starts_the_job(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        ours = take(session, 2)
        assert (ours.id, ours.epoch, ours.attempts, ours.first_position) == (2, 1, 1, 2)
        assert claim(session, 2, "w2") is None
        assert claim(session, 99, "w2") is None
        assert (job_of_shard(session, 2), job_of_shard(session, 99)) == (get_job(session, job_id), None)
        assert not start_job(session, job_id)
    with reading(database) as session:
        job = get_job(session, job_id)
        assert job.state == "running"
        assert job.started_at is not None


def test_of_many_claimers_one_wins(database: Database) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
    ready = Barrier(4)

    def race(worker: int) -> bool:
        ready.wait()
        with writing(database) as session:
            return claim(session, 1, f"w{worker}") is not None

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(race, range(4))) == 1


def test_of_many_takeovers_one_wins(database: Database) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        take(session, 1)
        silence(session, 1)
    ready = Barrier(4)

    def race(worker: int) -> int | None:
        ready.wait()
        with writing(database) as session:
            taken = claim(session, 1, f"w{worker}")
            return None if taken is None else taken.epoch

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(race, range(4)), key=bool) == [None, None, None, 2]


def test_a_claim_is_found_by_its_holder_only(database: Database) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        ours = take(session, 1, "host:1")
        assert held_by(session, 1, "host:1") == ours
        assert held_by(session, 1, "host:2") is None and held_by(session, 2, "host:1") is None
        complete(session, ours, [], [])
        assert held_by(session, 1, "host:1") is None


def test_a_deadly_segment_fails_after_three_attempts(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        for attempt in range(MAX_ATTEMPTS):
            assert take(session, 1).attempts == attempt + 1
            silence(session, 1)
        assert claim(session, 1, "w") is None
        shard = session.get_one(Shard, 1)
        reason = f"tried 3 times, without success: {DIED}"
        assert (shard.state, shard.error, shard.attempts) == ("failed", reason, MAX_ATTEMPTS)
        assert shards_left(session, job_id) == 2
        assert [e["error"] for e in job_status(session, job_id).errors] == [f"0 s to 1 s: {reason}"]
        assert claim(session, 1, "w") is None


def test_a_deadly_picture_fails_alone(database: Database) -> None:
    """Two attempts fail the whole shard; the third takes each picture alone."""
    with writing(database) as session:
        job_id = new_job(session, FOUR_PICTURES, [ShardPlan(0, 3, planned_frames=4)])
        for _ in range(2):
            take(session, 1)
            silence(session, 1)
        alone = take(session, 1)
        assert [medium.uri for medium in media_of(session, alone)] == ["a.jpg"]
        silence(session, 1)
        assert claim(session, 1, "w") is None, "it was the third time"
        for shard, name in ((2, "b.jpg"), (3, "c.jpg"), (4, "d.jpg")):
            other = take(session, shard)
            assert [medium.uri for medium in media_of(session, other)] == [name]
            complete(session, other, [frame(shard, 0, 0, 0)], [])
        assert close_job(session, job_id)
        status = job_status(session, job_id)
        assert [error["uri"] for error in status.errors] == ["a.jpg"]
        assert (status.state, status.frames, status.planned_frames) == ("done", 3, 4)


def test_a_transient_error_is_retried_until_the_attempts_are_used_up(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        tried_again = [requeue(session, take(session, 1), f"no memory, {n}") for n in range(MAX_ATTEMPTS)]
        assert tried_again == [True, True, False]
        shard = session.get_one(Shard, 1)
        assert (shard.state, shard.error) == ("failed", "tried 3 times, without success: no memory, 2")
        assert len(job_status(session, job_id).errors) == 1


def test_success_clears_an_earlier_error(database: Database) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        requeue(session, take(session, 1), "no memory")
        complete(session, take(session, 1), [], [])
        assert session.get_one(Shard, 1).error is None


def test_a_requeue_that_is_not_counted_leaves_the_attempts(database: Database) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        for _ in range(MAX_ATTEMPTS + 1):
            ours = take(session, 1)
            requeue(session, ours, counted=False)
        with pytest.raises(ShardLostError):
            requeue(session, ours, counted=False)
        assert take(session, 1).attempts == 1


def test_the_length_of_a_lease_is_the_callers(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        take(session, 1)
        silence(session, 1, seconds=20)
        assert claim(session, 1, "w2", lease_s=60) is None
        taken = claim(session, 1, "w2", lease_s=12)
        assert taken is not None and taken.epoch == 2


def test_a_heartbeat_renews_the_lease_and_keeps_counts_it_does_not_name(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        ours = take(session, 1)
        heartbeat(session, ours, (4, 2))
        silence(session, 1)
        heartbeat(session, ours)
        shard = session.get_one(Shard, 1)
        assert (shard.frames, shard.faces) == (4, 2)
        assert claim(session, 1, "w2") is None, "the lease was renewed"


def test_a_dead_workers_shard_is_reclaimed_and_counted(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        late = take(session, 1, "host:1")
        assert not reclaim(session, 1, "host:2") and not reclaim(session, 2, "host:1")
        assert reclaim(session, 1, "host:1", "the process was killed")
        shard = session.get_one(Shard, 1)
        assert (shard.state, shard.error, shard.attempts) == ("pending", "the process was killed", 1)
        assert take(session, 1, "host:2").attempts == 2
        with pytest.raises(ShardLostError):
            heartbeat(session, late)


def test_progress_restarts_the_count_of_attempts_for_a_requeue_too(database: Database) -> None:
    """The row has the count, not the claim, which is older than the progress."""
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        for _ in range(MAX_ATTEMPTS - 1):
            requeue(session, take(session, 1), "no memory")
        third = take(session, 1)
        assert third.attempts == MAX_ATTEMPTS
        progress(session, third)
        assert requeue(session, third, "no memory"), "it is the first attempt since the progress"
        assert take(session, 1).attempts == 2


def test_a_requeue_that_is_not_counted_after_progress_leaves_no_attempt(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        requeue(session, take(session, 1), "no memory")
        second = take(session, 1)
        progress(session, second)
        requeue(session, second, counted=False)
        assert take(session, 1).attempts == 1


def test_a_repeated_step_is_no_progress(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        requeue(session, take(session, 1), "no memory")
        second = take(session, 1)
        progress(session, second, repeated=true())
        assert session.get_one(Shard, 1).attempts == 2
        progress(session, second, repeated=false())
        session.expire_all()
        assert session.get_one(Shard, 1).attempts == 1


def test_of_a_late_twin_nothing_changes_the_shard(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        late = take(session, 1, "late")
        silence(session, 1)
        take(session, 1, "new")
        before = session.execute(select(*Shard.__table__.c).where(Shard.id == 1)).one()
        for write in (
            heartbeat,
            progress,
            requeue,
            partial(requeue, counted=False),
            partial(fail, reason="broken"),
            partial(update_own, values={"frames": 9}),
        ):
            with pytest.raises(ShardLostError):
                write(session, late)
        assert session.execute(select(*Shard.__table__.c).where(Shard.id == 1)).one() == before
        assert session.get_one(Media, 1).error is None
