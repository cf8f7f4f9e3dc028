"""The end of a job: its tracks filled once, its state and its error."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import Engine as Database
from sqlalchemy import select

from results.backlog import jobs_to_sweep
from results.closing import close_job
from results.database import reading, writing
from results.jobs import get_job
from results.labels import apply_labels, is_waiting, label
from results.shards import complete
from results.tables import Face, Track
from tests.support.rows import (
    ONE_VIDEO,
    THREE_SECONDS,
    face,
    frame,
    new_job,
    take,
)


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
        assert label(session, 1, {2: {0: 1, 1: 0}, 1: {}})
        assert not label(session, 1, {2: {0: 5}}), "once only"
        assert apply_labels(session, 1)
        assert not apply_labels(session, 1) and not is_waiting(session, 1)
        order = (Face.shard_id, Face.face_index)
        assert session.scalars(select(Face.track_id).order_by(*order)).all() == [0, 1, 2, 1, 0, 2]


def _old_track() -> dict[str, object]:
    means = dict.fromkeys(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"), 0.0)
    return {"first_ms": 0, "last_ms": 0, "observations": 1, "emotion": "sad", **means}
