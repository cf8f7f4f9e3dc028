"""The rows of a shard: nothing lost, nothing twice."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import func, select, update

from results.closing import close_job, shards_left
from results.database import reading, writing
from results.errors import ShardLostError
from results.jobs import get_job
from results.leases import fail, heartbeat
from results.plans import ShardPlan
from results.read.status import job_status
from results.shards import complete, split
from results.tables import Face, Frame, Media, Shard
from tests.support.rows import (
    FOUR_PICTURES,
    ONE_VIDEO,
    THREE_SECONDS,
    TWO_PICTURES_EACH,
    face,
    frame,
    new_job,
    silence,
    take,
)


def test_a_late_twin_writes_nothing(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, THREE_SECONDS)
        late = take(session, 1, "late")
        silence(session, 1)
        new = take(session, 1, "new")
    with writing(database) as session:
        complete(session, new, [frame(1, 0, 0, 1)], [face(1, 0, 0, happy=1.0)])
    with pytest.raises(ShardLostError), writing(database) as session:
        heartbeat(session, late, (1, 1))
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


WHOLE_VIDEO = [ShardPlan(0, 0, planned_frames=0, video=True)]


def test_a_whole_video_is_split_by_the_worker_that_claims_it(database: Database) -> None:
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


def test_a_late_twin_splits_nothing(database: Database) -> None:
    with writing(database) as session:
        new_job(session, ONE_VIDEO, WHOLE_VIDEO)
        late = take(session, 1)
        silence(session, 1)
        take(session, 1, "w2")
        with pytest.raises(ShardLostError):
            split(session, late, {"width": 640}, THREE_SECONDS)
        assert session.scalars(select(func.count()).select_from(Shard)).one() == 1


def test_a_video_that_cannot_be_split_fails_with_the_reason_alone(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, ONE_VIDEO, WHOLE_VIDEO)
        fail(session, take(session, 1), "film.mp4: is no video")
        error = {"uri": "film.mp4", "error": "film.mp4: is no video", "state": "failed"}
        assert job_status(session, job_id).errors == [error]
        assert session.get_one(Media, 1).state == "failed"


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
