"""Shards: one owner at a time, nothing lost, nothing twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from results.backlog import LEAST_WAITING, forget_lost_messages, jobs_to_sweep
from results.closing import shards_left
from results.database import reading, writing
from results.errors import ShardLostError
from results.jobs import get_job, job_of_shard, job_status, start_job
from results.plans import ShardPlan
from results.shards import (
    DIED,
    MAX_ATTEMPTS,
    claim,
    close_job,
    complete,
    fail,
    give_back,
    heartbeat,
    held_by,
    media_of,
    relabel_tracks,
    release,
    split,
)
from results.tables import Face, Frame, Job, Media, Shard, Track
from tests.support.rows import (
    FOUR_PICTURES,
    ONE_VIDEO,
    THREE_SECONDS,
    TWO_PICTURES_EACH,
    face,
    frame,
    new_job,
    pending_to_queue,
    take,
)


def silence(session: Session, shard_id: int) -> None:
    """The shard's worker has not been heard of for an hour."""
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    session.execute(update(Shard).where(Shard.id == shard_id).values(heartbeat_at=long_ago))


def test_a_claim_starts_the_job(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        ours = take(session, 2)
        assert (ours.id, ours.epoch, ours.attempts, ours.first_position) == (2, 1, 1, 2)
        assert claim(session, 2, "w2") is None
        assert claim(session, 99, "w2") is None
        assert (job_of_shard(session, 2), job_of_shard(session, 99)) == (job_id, None)
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


def test_a_late_twin_writes_nothing(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        late = take(session, 1, "late")
        silence(session, 1)
        new = take(session, 1, "new")
    with writing(database) as session:
        complete(session, new, [frame(1, 0, 0, 1)], [face(1, 0, 0, happy=1.0)])
    with pytest.raises(ShardLostError), writing(database) as session:
        heartbeat(session, late, 1, 1)
    for owner in (late, new):
        with pytest.raises(ShardLostError), writing(database) as session:
            complete(session, owner, [frame(1, 5, 500, 0)], [])
    with reading(database) as session:
        assert session.scalars(select(Frame.frame_index)).all() == [0]
        assert session.scalars(select(Face.emotion)).all() == ["happy"]


def test_rewriting_deletes_what_was_written_before(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        complete(session, take(session, 2), [frame(1, 10, 1000, 0)], [])
        complete(session, take(session, 1), [frame(1, i, i, 1) for i in (0, 1)], [face(1, i, i) for i in (0, 1)])
        session.execute(update(Shard).where(Shard.id == 1).values(state="pending"))
        complete(session, take(session, 1), [frame(1, 0, 0, 0)], [])
        assert session.scalars(select(Frame.frame_index).order_by(Frame.frame_index)).all() == [0, 10]
        assert session.scalar(select(func.count()).select_from(Face)) == 0


def test_pictures_fail_alone(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        torn = {"id": 1, "state": "failed", "error": "torn"}
        good = {"id": 2, "width": 640, "height": 480}
        complete(session, take(session, 1), [frame(2, 0, 0, 0)], [], [torn, good])
        rows = session.execute(select(Media.state, Media.error, Media.width).order_by(Media.id)).all()
        assert rows == [
            ("failed", "torn", None),
            ("done", None, 640),
            ("pending", None, None),
            ("pending", None, None),
        ]
        fail(session, take(session, 2), "out of memory")
        assert close_job(session, job_id)
        assert get_job(session, job_id).state == "done"
        errors = job_status(session, job_id).errors
        assert [(e["uri"], e["error"]) for e in errors] == [
            ("a.jpg", "torn"),
            ("c.jpg", "out of memory"),
            ("d.jpg", "out of memory"),
        ]


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
    """Twice it takes its neighbours with it; the third time each picture is tried by itself."""
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


def test_what_may_be_bad_luck_is_tried_three_times(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        tried_again = [give_back(session, take(session, 1), f"no memory, {n}") for n in range(MAX_ATTEMPTS)]
        assert tried_again == [True, True, False]
        shard = session.get_one(Shard, 1)
        assert (shard.state, shard.error) == ("failed", "tried 3 times, without success: no memory, 2")
        assert len(job_status(session, job_id).errors) == 1


def test_success_forgets_what_went_wrong_before(database: Database) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        give_back(session, take(session, 1), "no memory")
        complete(session, take(session, 1), [], [])
        assert session.get_one(Shard, 1).error is None


def test_only_who_holds_a_shard_is_found_as_its_holder(database: Database) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        ours = take(session, 1, "host:1")
        assert held_by(session, 1, "host:1") == ours
        assert held_by(session, 1, "host:2") is None and held_by(session, 2, "host:1") is None
        complete(session, ours, [], [])
        assert held_by(session, 1, "host:1") is None


WHOLE_VIDEO = [ShardPlan(0, 0, planned_frames=0, video=True)]


def test_a_whole_video_is_cut_by_who_claims_it(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, WHOLE_VIDEO)
        whole = take(session, 1)
        assert whole.is_unplanned_video
        first = split(session, whole, {"width": 640, "error": "truncated"}, THREE_SECONDS)
        assert not first.is_unplanned_video
        assert (first.id, first.epoch, first.start_ms, first.end_ms) == (1, whole.epoch, 0, 1000)
        rows = session.execute(select(Shard.start_ms, Shard.end_ms, Shard.start_frame, Shard.state).order_by(Shard.id))
        assert [tuple(row) for row in rows] == [
            (0, 1000, 0, "running"),
            (1000, 2000, 10, "pending"),
            (2000, 3000, 20, "pending"),
        ]
        medium = session.get_one(Media, 1)
        assert (medium.width, medium.height, medium.error) == (640, 48, "truncated")
        assert job_status(session, job_id).planned_frames == 30


def test_a_late_twin_cuts_nothing(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, WHOLE_VIDEO)
        late = take(session, 1)
        silence(session, 1)
        take(session, 1, "w2")
        with pytest.raises(ShardLostError):
            split(session, late, {"width": 640}, THREE_SECONDS)
        assert session.scalars(select(func.count()).select_from(Shard)).one() == 1


def test_a_video_that_cannot_be_cut_fails_with_the_reason_alone(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, WHOLE_VIDEO)
        fail(session, take(session, 1), "film.mp4: is no video")
        assert job_status(session, job_id).errors == [{"uri": "film.mp4", "error": "film.mp4: is no video"}]
        assert session.get_one(Media, 1).state == "failed"


def test_releasing_does_not_count_as_an_attempt(database: Database) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        for _ in range(MAX_ATTEMPTS + 1):
            ours = take(session, 1)
            release(session, ours)
        with pytest.raises(ShardLostError):
            release(session, ours)
        assert take(session, 1).attempts == 1


def test_a_video_is_done_with_its_last_shard(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS)
        claims = [take(session, i) for i in (1, 2, 3)]
    ready = Barrier(3)

    def end(i: int) -> None:
        ready.wait()
        with writing(database) as session:
            complete(session, claims[i], [frame(1, i, i, 1)], [face(1, i, i)])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(end, range(3)))
    with reading(database) as session:
        assert session.scalars(select(Media.state)).all() == ["done"]
        assert shards_left(session, job_id) == 0


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


def test_closing_fills_tracks_and_can_be_repeated(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, THREE_SECONDS[:1])
        faces = [
            face(1, 0, 0, 0, track_id=7, happy=0.9, sad=0.1),
            face(1, 1, 100, 0, track_id=7, happy=0.2, sad=0.8),
            face(1, 2, 250, 0, track_id=7, happy=0.5, sad=0.5),
            face(1, 2, 250, 1, fear=1.0),
        ]
        assert not close_job(session, job_id)
        complete(session, take(session, 1), [frame(1, i, i, 1) for i in range(3)], faces)
        session.add(Track(media_id=1, track_id=3, **_old_track()))
    ready = Barrier(2)

    def close(_: int) -> bool:
        ready.wait()
        with writing(database) as session:
            return close_job(session, job_id)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(close, range(2))) == [False, True]
    with reading(database) as session:
        (track,) = session.scalars(select(Track)).all()
        assert (track.track_id, track.first_ms, track.last_ms, track.observations) == (7, 0, 250, 3)
        assert (track.emotion, round(track.happy, 9), track.fear) == ("happy", round(1.6 / 3, 9), 0.0)
        assert get_job(session, job_id).state == "done"
        assert jobs_to_sweep(session) == []


def test_relabelling_swaps(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        for shard in (1, 2):
            faces = [face(1, shard * 10, 0, i, track_id=i) for i in range(3)]
            complete(session, take(session, shard), [frame(1, shard * 10, 0, 3)], faces)
        relabel_tracks(session, 2, {0: 1, 1: 0})
        relabel_tracks(session, 1, {})
        order = (Face.shard_id, Face.face_index)
        assert session.scalars(select(Face.track_id).order_by(*order)).all() == [0, 1, 2, 1, 0, 2]


def _old_track() -> dict[str, object]:
    means = dict.fromkeys(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"), 0.0)
    return {"first_ms": 0, "last_ms": 0, "observations": 1, "emotion": "sad", **means}
