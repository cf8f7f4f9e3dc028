"""Timelines and views against a small job whose numbers were computed by hand."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from results.database import reading, writing
from results.emotions import EMOTIONS
from results.errors import TimelineError
from results.leases import fail
from results.plans import MediaPlan, ShardPlan
from results.read.timelines import COLUMNS, WITH_AFFECT, By, timeline
from results.shards import complete
from tests.support.rows import THREE_SECONDS, face, frame, new_job, take

MEDIA = [
    MediaPlan("film.mp4", "video"),
    MediaPlan("a.jpg", "image"),
    MediaPlan("torn.jpg", "image", state="failed", error="torn"),
]


@pytest.fixture
def known(database: Database) -> Iterator[tuple[Session, str]]:
    """A video of two seconds with two tracks, and a third without a face; then a picture."""
    frames = [frame(1, 0, 0, 2), frame(1, 1, 500, 0), frame(1, 2, 1000, 1), frame(1, 3, 1999, 0)]
    faces = [
        face(1, 0, 0, 0, track_id=1, happy=0.75, sad=0.25),
        face(1, 0, 0, 1, track_id=2, sad=1.0),
        face(1, 2, 1000, 0, track_id=1, angry=0.5, neutral=0.5),
    ]
    with writing(database) as session:
        job_id = new_job(session, MEDIA, [*THREE_SECONDS, ShardPlan(1, 1, 1)])
        new_job(session, [MediaPlan("other.jpg", "image")], [ShardPlan(0, 0, 1)])
        complete(session, take(session, 1), frames, faces)
        complete(session, take(session, 2), [frame(1, 4, 2000, 0)], [])
        fail(session, take(session, 3), "bad data")
        complete(session, take(session, 4), [frame(2, 0, 0, 1)], [face(2, 0, 0, surprise=1.0)])
        complete(session, take(session, 5), [frame(4, 0, 0, 1)], [face(4, 0, 0, disgust=1.0)])
    with reading(database) as session:
        yield session, job_id


def rows(session: Session, sql: str, job_id: str) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(text(sql), {"job": job_id}).mappings()]


def means(**scores: float) -> dict[str, float]:
    return dict.fromkeys(EMOTIONS, 0.0) | scores


FIRST = means(happy=0.375, sad=0.625) | {"frames": 2, "faces": 2, "emotion": "sad", "face_share": 0.5, "at": None}
SECOND = means(angry=0.5, neutral=0.5) | {"frames": 2, "faces": 1, "emotion": "angry", "face_share": 0.5, "at": None}
NO_FACE = dict.fromkeys(EMOTIONS) | {"frames": 1, "faces": 0, "emotion": None, "face_share": 0.0, "at": None}
PICTURE = means(surprise=1.0) | {"frames": 1, "faces": 1, "emotion": "surprise", "face_share": 1.0, "at": None}


def affect(valence: float, arousal: float) -> dict[str, Any]:
    return {"valence": pytest.approx(valence), "arousal": pytest.approx(arousal)}


# By hand, from the coordinates of happy (0.81, 0.51), sad (-0.63, -0.27), angry (-0.51, 0.59) and surprise (0.4, 0.67).
FIRST_AFFECT, SECOND_AFFECT = affect(-0.09, 0.0225), affect(-0.255, 0.295)
NO_AFFECT, PICTURE_AFFECT = {"valence": None, "arousal": None}, affect(0.4, 0.67)


def test_emotion_timeline(known: tuple[Session, str]) -> None:
    found = rows(known[0], "SELECT * FROM emotion_timeline WHERE job_id = :job ORDER BY media_id, second", known[1])
    film = {"job_id": known[1], "media_id": 1, "uri": "film.mp4"}
    assert found == [
        film | {"second": 0} | FIRST | FIRST_AFFECT,
        film | {"second": 1} | SECOND | SECOND_AFFECT,
        film | {"second": 2} | NO_FACE | NO_AFFECT,
        {"job_id": known[1], "media_id": 2, "uri": "a.jpg", "second": 0} | PICTURE | PICTURE_AFFECT,
    ]
    assert {type(row["face_share"]) for row in found} == {float}


def test_track_timeline(known: tuple[Session, str]) -> None:
    found = rows(known[0], "SELECT * FROM track_timeline WHERE job_id = :job ORDER BY track_id, second", known[1])
    key = {"job_id": known[1], "media_id": 1, "observations": 1, "at": None}
    assert found == [
        key | {"track_id": 1, "second": 0, "emotion": "happy"} | means(happy=0.75, sad=0.25) | affect(0.45, 0.315),
        key | {"track_id": 1, "second": 1, "emotion": "angry"} | means(angry=0.5, neutral=0.5) | SECOND_AFFECT,
        key | {"track_id": 2, "second": 0, "emotion": "sad"} | means(sad=1.0) | affect(-0.63, -0.27),
    ]


def test_job_progress(known: tuple[Session, str]) -> None:
    (found,) = rows(known[0], "SELECT * FROM job_progress WHERE job_id = :job", known[1])
    counted = {"media": 3, "media_failed": 1, "frames": 6, "planned_frames": 31, "faces": 4}
    shards = {"pending": 0, "running": 0, "done": 3, "failed": 1, "cancelled": 0}
    assert found["state"] == "running"
    assert found | counted | {f"shards_{state}": n for state, n in shards.items()} == found


def test_by_media(known: tuple[Session, str]) -> None:
    film = {"media_id": 1, "uri": "film.mp4", "track_id": None}
    assert list(timeline(*known)) == [
        film | {"start_ms": 0} | FIRST,
        film | {"start_ms": 1000} | SECOND,
        film | {"start_ms": 2000} | NO_FACE,
        {"media_id": 2, "uri": "a.jpg", "track_id": None, "start_ms": 0} | PICTURE,
    ]


def test_buckets_of_other_lengths(known: tuple[Session, str]) -> None:
    found = [(row["start_ms"], row["frames"], row["faces"]) for row in timeline(*known, bucket_ms=700)]
    assert found == [(0, 2, 2), (700, 1, 1), (1400, 2, 0), (0, 1, 1)]


def test_by_track(known: tuple[Session, str]) -> None:
    found = list(timeline(*known, by="track"))
    shown = [(row["track_id"], row["start_ms"], row["emotion"], row["face_share"]) for row in found]
    assert shown == [(1, 0, "happy", 0.5), (1, 1000, "angry", 0.5), (2, 0, "sad", 0.5)]
    assert {row["uri"] for row in found} == {"film.mp4"}


def test_by_job(known: tuple[Session, str]) -> None:
    first, *_, last = timeline(*known, by="job")
    assert (first["media_id"], first["uri"], first["frames"], first["faces"]) == (None, None, 3, 3)
    assert (first["sad"], first["emotion"], first["face_share"]) == (pytest.approx(1.25 / 3), "sad", 2 / 3)
    assert last["start_ms"] == 2000


def test_all_timelines_have_the_same_keys_and_affect_at_their_end(known: tuple[Session, str]) -> None:
    assert {tuple(row) for by in get_args(By) for row in timeline(*known, by=by)} == {COLUMNS}
    assert {tuple(row) for by in get_args(By) for row in timeline(*known, by=by, with_affect=True)} == {WITH_AFFECT}
    assert (*COLUMNS, "valence", "arousal") == WITH_AFFECT


def test_affect_by_media_track_and_job(known: tuple[Session, str]) -> None:
    found = {by: [affect_of(row) for row in timeline(*known, by=by, with_affect=True)] for by in get_args(By)}
    assert found["media"] == [FIRST_AFFECT, SECOND_AFFECT, NO_AFFECT, PICTURE_AFFECT]
    assert found["track"] == [affect(0.45, 0.315), SECOND_AFFECT, affect(-0.63, -0.27)]
    # The first second of the job holds the film's two faces and the picture's.
    assert found["job"] == [affect((2 * -0.09 + 0.4) / 3, (2 * 0.0225 + 0.67) / 3), SECOND_AFFECT, NO_AFFECT]


def affect_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("valence", "arousal")}


@pytest.mark.parametrize("wrong", [{"bucket_ms": 0}, {"bucket_ms": -5}, {"bucket_ms": 10**10}, {"by": "mood"}])
def test_wrong_timelines(database: Database, wrong: dict[str, Any]) -> None:
    with reading(database) as session, pytest.raises(TimelineError):
        timeline(session, "any", **wrong)


def test_a_job_without_faces_has_an_empty_timeline(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, MEDIA, THREE_SECONDS)
        assert list(timeline(session, job_id)) == []
