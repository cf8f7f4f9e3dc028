"""The fenced append: rows grow over takeovers, and a late twin adds nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from results.database import reading, writing
from results.emotions import EMOTIONS
from results.errors import JobCancelledError, ShardLostError
from results.jobs import cancel_job, create_job
from results.leases import MAX_ATTEMPTS, Claim, claim, reclaim, requeue
from results.plans import MediaPlan, ShardPlan, add_plan
from results.shards import append
from results.tables import Face, FaceScore, Frame, Model, Shard
from tests.support.rows import face, frame, silence, take

STREAM_LEASE_S = 12


@pytest.fixture
def stream(database: Database) -> int:
    """The id of the shard of a stream, which has no end."""
    with writing(database) as session:
        job, _ = create_job(session, kind="stream", name="door", options={})
        medium = MediaPlan("rtsp://camera/door", "stream")
        add_plan(session, job.id, [medium], [ShardPlan(0, 0, planned_frames=0, video=True)])
        return session.scalars(select(Shard.id)).one()


def add(database: Database, claim: Claim, *indices: int) -> None:
    """A frame with one face for each index."""
    with writing(database) as session:
        append(
            session,
            claim,
            [frame(1, index, index * 200, 1) for index in indices],
            [face(1, index, index * 200, happy=1.0) for index in indices],
        )


def takeover(database: Database, shard_id: int, worker: str) -> Claim:
    with writing(database) as session:
        silence(session, shard_id, seconds=STREAM_LEASE_S + 1)
        taken = claim(session, shard_id, worker, lease_s=STREAM_LEASE_S)
    assert taken is not None
    return taken


def indices(database: Database) -> list[int]:
    with reading(database) as session:
        frames = session.scalars(select(Frame.frame_index).order_by(Frame.frame_index)).all()
        assert session.scalars(select(Face.frame_index).order_by(Face.frame_index)).all() == frames
        return list(frames)


def test_what_is_appended_stays_after_a_takeover(database: Database, stream: int) -> None:
    with writing(database) as session:
        first = take(session, stream, "w1")
    add(database, first, 0, 1)
    add(database, first, 2)
    second = takeover(database, stream, "w2")
    add(database, second, 3, 4)
    assert indices(database) == [0, 1, 2, 3, 4]
    with reading(database) as session:
        shard = session.get_one(Shard, stream)
        assert (shard.state, shard.worker, shard.frames, shard.faces) == ("running", "w2", 5, 5)


def test_a_late_twin_appends_nothing(database: Database, stream: int) -> None:
    with writing(database) as session:
        late = take(session, stream, "late")
    add(database, late, 0)
    new = takeover(database, stream, "new")
    with pytest.raises(ShardLostError):
        add(database, late, 1)
    add(database, new, 2)
    with pytest.raises(ShardLostError):
        add(database, late, 3)
    assert indices(database) == [0, 2]


def test_of_twins_that_append_at_once_only_the_owner_does(database: Database, stream: int) -> None:
    with writing(database) as session:
        late = take(session, stream, "late")
    new = takeover(database, stream, "new")
    ready = Barrier(2)

    def write(owner: Claim) -> bool:
        ready.wait()
        try:
            # The same frames, which both have seen.
            add(database, owner, *range(20))
        except ShardLostError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(write, (late, new))) == [False, True]
    assert indices(database) == list(range(20))


def test_appending_renews_the_lease_and_restarts_the_count_of_attempts(database: Database, stream: int) -> None:
    with writing(database) as session:
        own = take(session, stream, "w0")
    for number in range(2 * MAX_ATTEMPTS):
        own = takeover(database, stream, f"w{number}")
        with writing(database) as session:
            silence(session, stream, seconds=STREAM_LEASE_S + 1)
        add(database, own, number)
        with writing(database) as session:
            assert claim(session, stream, "other", lease_s=STREAM_LEASE_S) is None, "the lease is new"
    with reading(database) as session:
        assert session.get_one(Shard, stream).attempts == 1
    with reading(database) as session:
        assert session.get_one(Shard, stream).not_before is None, "it is claimed again at once"


def test_a_stream_never_fails_and_waits_longer_after_each_death(database: Database, stream: int) -> None:
    pauses = []
    for number in range(7):
        with writing(database) as session:
            silence(session, stream, seconds=STREAM_LEASE_S + 1)
            taken = claim(session, stream, f"dead{number}", lease_s=STREAM_LEASE_S)
            assert taken is not None and taken.attempts == number + 1
            shard = session.get_one(Shard, stream)
            assert shard.not_before is not None and shard.heartbeat_at is not None
            pauses.append(round((shard.not_before - shard.heartbeat_at).total_seconds()))
    assert pauses == [2, 4, 8, 16, 32, 60, 60]
    with writing(database) as session:
        assert reclaim(session, stream, "dead6", "its process was killed")
        assert claim(session, stream, "early", lease_s=STREAM_LEASE_S) is None
        session.execute(update(Shard).values(not_before=datetime.now(UTC) - timedelta(seconds=1)))
        assert claim(session, stream, "late", lease_s=STREAM_LEASE_S) is not None


def test_a_worker_that_stops_hands_its_rows_on(database: Database, stream: int) -> None:
    with writing(database) as session:
        first = take(session, stream, "w1")
    add(database, first, 0)
    with writing(database) as session:
        requeue(session, first, counted=False)
        second = take(session, stream, "w2")
    add(database, second, 1)
    with reading(database) as session:
        shard = session.get_one(Shard, stream)
        assert (shard.frames, shard.attempts) == (2, 1)
    assert indices(database) == [0, 1]


def test_a_frame_that_is_there_already_is_refused_as_a_whole(database: Database, stream: int) -> None:
    with writing(database) as session:
        own = take(session, stream, "w1")
    add(database, own, 0, 1)
    with pytest.raises(IntegrityError):
        add(database, own, 2, 1)
    assert indices(database) == [0, 1]
    with reading(database) as session:
        assert session.get_one(Shard, stream).frames == 2


def test_nothing_is_appended_to_a_cancelled_stream(database: Database, stream: int) -> None:
    with writing(database) as session:
        own = take(session, stream, "w1")
        cancel_job(session, own.job_id)
    with pytest.raises(JobCancelledError):
        add(database, own, 0)
    assert indices(database) == []


def test_members_scores_are_appended_with_their_faces(database: Database, stream: int) -> None:
    with writing(database) as session:
        session.add(Model(id="a", sha256="a", name="a", kind="classifier", architecture="x", source="given", facts={}))
        own = take(session, stream, "w1")
        score = {"media_id": 1, "frame_index": 0, "face_index": 0, "model_id": "a", **dict.fromkeys(EMOTIONS, 0.1)}
        append(session, own, [frame(1, 0, 0, 1)], [face(1, 0, 0)], scores=[score])
    second = takeover(database, stream, "w2")
    add(database, second, 1)
    with reading(database) as session:
        assert session.scalars(select(FaceScore.frame_index)).all() == [0]
