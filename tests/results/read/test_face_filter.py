"""Filtering and smoothing faces, on both databases."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select

from results.database import reading, writing
from results.emotions import EMOTIONS
from results.errors import TimelineError
from results.plans import MediaPlan, ShardPlan
from results.read.face_filter import FaceFilter, filtered_faces
from results.read.parts import Part
from results.read.timelines import By, timeline
from results.shards import complete
from tests.support.rows import face, frame, new_job, take

STEP_MS = 40


def film(database: Database, *tracks: Sequence[float], quality: float = 0.5) -> str:
    """A job of one video; each track has the given probabilities of `happy`, frame by frame, and the rest is `sad`."""
    length = len(tracks[0])
    frames = [frame(1, n, n * STEP_MS, len(tracks)) for n in range(length)]
    faces = [
        face(1, n, n * STEP_MS, who, track_id=who, happy=happy[n], sad=1 - happy[n]) | {"quality": quality}
        for who, happy in enumerate(tracks)
        for n in range(length)
    ]
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("film.mp4", "video")], [ShardPlan(0, 0, length, video=True)])
        complete(session, take(session, 1), frames, faces)
    return job_id


def smoothed(database: Database, job_id: str, seconds: float, track: int = 0) -> list[tuple[float, str, float]]:
    """`happy`, `emotion` and `confidence` of a track, frame by frame."""
    faces = filtered_faces(Part(job_id), FaceFilter(smooth_s=seconds)).c
    with reading(database) as session:
        found = select(faces.happy, faces.emotion, faces.confidence).where(faces.track_id == track)
        return [(row[0], row[1], row[2]) for row in session.execute(found.order_by(faces.time_ms))]


def changes(emotions: Sequence[str]) -> list[int]:
    return [n for n, (before, after) in enumerate(pairwise(emotions), 1) if before != after]


def test_the_filter_is_a_centred_mean_of_the_track(database: Database) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random(40), rng.random(40)
    found = smoothed(database, film(database, first.tolist(), second.tolist()), 0.4)
    expected = [float(first[max(0, n - 5) : n + 6].mean()) for n in range(40)]
    assert [happy for happy, _, _ in found] == pytest.approx(expected)
    assert [emotion for _, emotion, _ in found] == ["happy" if happy >= 0.5 else "sad" for happy in expected]
    assert [sure for _, _, sure in found] == pytest.approx([max(happy, 1 - happy) for happy in expected])


def test_flicker_goes_and_a_change_stays_where_it_was(database: Database) -> None:
    rng = np.random.default_rng(2)
    # One frame in six is wrong; the change at frame 60 is lasting.
    truth = np.where(np.arange(120) < 60, 0.8, 0.2)
    seen = np.where(rng.random(120) < 1 / 6, 1 - truth, truth)
    job_id = film(database, seen.tolist())
    assert len(changes([emotion for _, emotion, _ in smoothed(database, job_id, 0)])) > 20
    (moved,) = changes([emotion for _, emotion, _ in smoothed(database, job_id, 1.0)])
    assert abs(moved - 60) * STEP_MS <= 500


@pytest.mark.parametrize("seed", range(5))
def test_no_change_moves_by_more_than_half_the_width(database: Database, seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = int(rng.integers(30, 70))
    # Whatever the confidence of single frames, it is happy before and sad after.
    happy = np.where(np.arange(100) < at, rng.uniform(0.51, 1, 100), rng.uniform(0, 0.49, 100))
    found = [emotion for _, emotion, _ in smoothed(database, film(database, happy.tolist()), 0.8)]
    assert set(found[: at - 10]) == {"happy"} and set(found[at + 10 :]) == {"sad"}


def test_faces_without_a_track_are_not_smoothed(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("a.jpg", "image")], [ShardPlan(0, 0, 1)])
        two = [face(1, 0, 0, 0, happy=1.0), face(1, 0, 0, 1, sad=1.0)]
        complete(session, take(session, 1), [frame(1, 0, 0, 2)], two)
    faces = filtered_faces(Part(job_id), FaceFilter(smooth_s=2)).c
    with reading(database) as session:
        found = session.execute(select(faces.happy, faces.emotion).order_by(faces.face_index)).all()
    assert [tuple(row) for row in found] == [(1.0, "happy"), (0.0, "sad")]


def test_timelines_of_smoothed_tracks(database: Database) -> None:
    job_id = film(database, [0.0] * 25 + [1.0] * 25)
    with reading(database) as session:
        raw = [row["happy"] for row in timeline(session, job_id)]
        found = [row["happy"] for row in timeline(session, job_id, face_filter=FaceFilter(smooth_s=1.0), by="track")]
    assert raw == [0.0, 1.0]
    assert 0.1 < found[0] < 0.2 and found[0] == pytest.approx(1 - found[1], abs=0.05)


@pytest.mark.parametrize("by", ["media", "track", "job"])
def test_faces_that_do_not_count_are_as_if_not_found(database: Database, by: By) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("film.mp4", "video")], [ShardPlan(0, 0, 4, video=True)])
        good = face(1, 0, 0, 0, track_id=0, happy=0.9, sad=0.1) | {"quality": 0.8}
        blurred = face(1, 1, 40, 0, track_id=0, sad=0.9, happy=0.1) | {"quality": 0.2}
        unsure = face(1, 2, 80, 0, track_id=0, angry=0.4, fear=0.3, sad=0.3) | {"quality": 0.8}
        frames = [frame(1, n, n * 40, int(n < 3)) for n in range(4)]
        complete(session, take(session, 1), frames, [good, blurred, unsure])
    with reading(database) as session:
        (all_of_them,) = timeline(session, job_id, by=by)
        (row,) = timeline(session, job_id, by=by, face_filter=FaceFilter(min_confidence=0.5, min_quality=0.5))
        empty = list(timeline(session, job_id, by=by, face_filter=FaceFilter(min_quality=1.0)))
    assert (all_of_them["faces"], all_of_them["face_share"]) == (3, 0.75)
    assert (row["frames"], row["faces"], row["face_share"]) == (4, 1, 0.25)
    assert (row["happy"], row["sad"], row["emotion"]) == (0.9, 0.1, "happy")
    assert [(r["faces"], r["emotion"], r["face_share"]) for r in empty] == ([] if by == "track" else [(0, None, 0.0)])


def test_frames_of_two_media_are_two_in_a_jobs_share(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("a.jpg", "image"), MediaPlan("b.jpg", "image")], [ShardPlan(0, 1, 2)])
        two = [face(1, 0, 0, happy=1.0), face(2, 0, 0, happy=1.0)]
        complete(session, take(session, 1), [frame(1, 0, 0, 1), frame(2, 0, 0, 1)], two)
    with reading(database) as session:
        (row,) = timeline(session, job_id, by="job", face_filter=FaceFilter(min_confidence=0.5))
    assert (row["frames"], row["face_share"]) == (2, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"smooth_s": -1},
        {"smooth_s": float("nan")},
        {"smooth_s": 61},
        {"min_confidence": 1.1},
        {"min_quality": -0.1},
        {"min_quality": float("nan")},
    ],
)
def test_choices_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(TimelineError):
        FaceFilter(**wrong)


def test_smoothed_probabilities_still_sum_to_one(database: Database) -> None:
    rng = np.random.default_rng(3)
    faces = filtered_faces(Part(film(database, rng.random(30).tolist())), FaceFilter(smooth_s=0.5)).c
    with reading(database) as session:
        sums = [sum(row) for row in session.execute(select(*(faces[name] for name in EMOTIONS)))]
    assert len(sums) == 30 and sums == pytest.approx([1.0] * 30)
