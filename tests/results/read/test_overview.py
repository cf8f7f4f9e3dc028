"""A video in steps, where to go in it, and the figures of its parts, against rows whose numbers are known."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from results.database import reading, writing
from results.emotions import EMOTIONS
from results.plans import MediaPlan, ShardPlan
from results.read.jumps import changes, faceless, peaks, skipped, unsure
from results.read.overview import Overview, Run, Seen, longest, overview, runs, smoothed
from results.read.sections import boxes, section
from results.shards import complete
from tests.support.rows import face, frame, new_job, take

LENGTH_MS = 10_000


@pytest.fixture
def video(database: Database) -> Iterator[Session]:
    """Ten frames a second: 3 s of one track, happy then sad, 1 s without a face, 2 s not processed, 4 s of two tracks.

    The third second is of low quality, and the second track is unsure. Its faces in the last frame are two tracks'.
    """
    looked = [n for n in range(100) if not 40 <= n < 60]
    faces = []
    for n in looked:
        if n < 30:
            scores = {"happy": 0.8, "neutral": 0.2} if n < 15 else {"sad": 0.6, "neutral": 0.4}
            faces.append(face(1, n, n * 100, 0, track_id=4, **scores) | {"quality": 0.3 if n >= 20 else 0.9})
        elif n >= 60:
            faces.append(face(1, n, n * 100, 0, track_id=5, neutral=1.0))
            faces.append(face(1, n, n * 100, 1, track_id=9, fear=0.4, angry=0.3, neutral=0.3))
    counts = {n: sum(row["frame_index"] == n for row in faces) for n in looked}
    with writing(database) as session:
        new_job(session, [MediaPlan("a.mp4", "video", duration_ms=LENGTH_MS)], [ShardPlan(0, 0, 80, video=True)])
        complete(session, take(session, 1), [frame(1, n, n * 100, counts[n]) for n in looked], faces)
    with reading(database) as session:
        yield session


def test_steps_are_as_short_as_the_chart_and_the_frames_allow(video: Session) -> None:
    steps = [overview(video, 1, 0, LENGTH_MS, most).step_ms for most in (1200, 50, 10, 3)]
    # 80 frames in 9.9 s are 125 ms apart.
    assert steps == [200, 200, 1000, 5000]
    part = overview(video, 1, 6050, 8000)
    assert (part.since_ms, part.steps, min(part.frames), max(part.frames)) == (6000, 10, 0, 9)


def test_means_are_those_of_all_faces_of_a_step(video: Session) -> None:
    view = overview(video, 1, 0, LENGTH_MS, 10)
    assert view.step_ms == 1000 and view.steps == 10
    assert view.frames == dict.fromkeys((0, 1, 2, 3, 6, 7, 8, 9), 10) and view.present[3] == 0 and view.present[0] == 1
    assert sorted(view.tracks) == [4, 5, 9] and view.seen[6].faces == 20
    assert named(view.seen[1]) == pytest.approx({"happy": 0.4, "sad": 0.3, "neutral": 0.3})
    assert named(view.seen[6]) == pytest.approx({"fear": 0.2, "angry": 0.15, "neutral": 0.65})
    assert view.seen[6].confidence == pytest.approx(0.7) and view.seen[2].quality == pytest.approx(0.3)


def named(seen: Seen) -> dict[str, float]:
    return {name: value for name, value in zip(EMOTIONS, seen.scores, strict=True) if value}


def test_where_to_go(video: Session) -> None:
    view = overview(video, 1, 0, LENGTH_MS)
    tracks = [runs(view.tracks[track]) for track in sorted(view.tracks)]
    # The step from 1.4 to 1.6 s is happy and sad, and more happy than sad.
    assert tracks[0] == [Run(0, 8, "happy", False), Run(8, 2, "sad", False), Run(10, 5, "sad", True)]
    assert changes(tracks) == [8]
    assert faceless(view) == [(15, 5)] and skipped(view) == [(20, 10)]
    assert unsure(view.tracks[9]) == [30] and unsure(view.seen) == []
    assert peaks(view.seen) == [0]
    assert longest(view.tracks, 2) == [5, 9]


def test_a_peak_is_the_highest_of_its_neighbours_and_above_the_rest() -> None:
    def seen(neutral: float) -> Seen:
        return Seen(1, (0.0, 0.0, 0.0, 1 - neutral, 0.0, 0.0, neutral), 1.0, None)

    values = [1.0] * 20 + [0.5, 0.2, 0.2, 0.6] + [1.0] * 20 + [0.1] + [0.95, 0.9] * 5
    assert peaks({step: seen(value) for step, value in enumerate(values)}) == [21, 44]
    assert peaks({}) == [] and peaks({3: seen(0.5)}) == [] and peaks(dict.fromkeys(range(9), seen(0.5))) == []


def test_smoothing_takes_the_neighbours_that_are_there() -> None:
    def seen(happy: float, faces: int = 1) -> Seen:
        return Seen(faces, (0.0, 0.0, 0.0, happy, 0.0, 0.0, 1 - happy), 0.5, None)

    track = {0: seen(1.0), 1: seen(0.0, 3), 5: seen(0.5)}
    happy = [each.scores[3] for each in smoothed(track, 1).values()]
    assert happy == pytest.approx([0.25, 0.25, 0.5]) and smoothed(track, 0) is track


def test_the_figures_of_a_part(video: Session) -> None:
    found = section(video, 1, 1000, 4000)
    assert (found.frames, found.faces) == (30, 20) and found.present == pytest.approx(2 / 3)
    assert found.time == dict.fromkeys(EMOTIONS, 0.0) | {"happy": 0.25, "sad": 0.75}
    assert found.means == pytest.approx(dict.fromkeys(EMOTIONS, 0.0) | {"happy": 0.2, "sad": 0.45, "neutral": 0.35})
    assert found.quality == pytest.approx(0.6) and found.confidence == pytest.approx(0.65)
    one = section(video, 1, 6000, LENGTH_MS, track_id=9)
    assert (one.faces, one.present, one.time["fear"]) == (40, 1.0, 1.0)
    empty = section(video, 1, 4000, 6000)
    assert (empty.frames, empty.faces, empty.present, empty.means, empty.quality) == (0, 0, 0.0, {}, None)


def test_the_boxes_of_a_part(video: Session) -> None:
    found = boxes(video, 1, 9800, 60_000)
    assert [time_ms for time_ms, _ in found] == [9800, 9900]
    assert found[1][1] == [(5, 1.0, 2.0, 3.5, 4.5, "neutral", 1.0), (9, 1.0, 2.0, 3.5, 4.5, "fear", 0.4)]
    assert boxes(video, 1, 3000, 3200) == [(3000, []), (3100, [])] and boxes(video, 1, 4000, 6000) == []


def test_boxes_are_in_the_order_of_time_also_after_a_clock_was_set_back(database: Database) -> None:
    times = [5000, 5100, 1000, 1100]
    with writing(database) as session:
        new_job(session, [MediaPlan("a.mp4", "video")], [ShardPlan(0, 0, 80, video=True)])
        complete(session, take(session, 1), [frame(1, n, time_ms, 0) for n, time_ms in enumerate(times)], [])
    with reading(database) as session:
        assert [time_ms for time_ms, _ in boxes(session, 1, 0, 60_000)] == sorted(times)


def test_a_video_that_was_not_processed_yet(database: Database) -> None:
    with writing(database) as session:
        new_job(session, [MediaPlan("a.mp4", "video")], [ShardPlan(0, 0, 80, video=True)])
    with reading(database) as session:
        view: Overview = overview(session, 1, 0, 0)
    assert view.frames == {} and view.seen == {} and view.tracks == {} and skipped(view) == []
