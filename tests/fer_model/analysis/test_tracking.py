from collections.abc import Sequence

import numpy as np
import pytest
import supervision
from numpy.typing import NDArray
from trackers import ByteTrackTracker

from fer_model.analysis.tracking import face_tracker
from fer_model.engines.detection import Detections
from fer_model.sources.sampling import Sampling, select

NO_FACES = np.zeros((0, 5), np.float32)


def faces(*places: tuple[float, float], side: float = 60, score: float = 0.9) -> Detections:
    return np.array([[x, y, x + side, y + side, score] for x, y in places], np.float32).reshape(-1, 5)


def ids(frames: Sequence[Detections], fps: float) -> list[list[int]]:
    follow = face_tracker(fps)
    return [follow(found, round(1000 * n / fps)).tolist() for n, found in enumerate(frames)]


def test_a_face_that_moves_smoothly_keeps_id_0_from_its_first_frame() -> None:
    path = [faces((100 + 4 * t, 100 + 30 * np.sin(t / 10))) for t in range(100)]
    assert ids(path, 25) == [[0]] * 100


def test_two_crossing_faces_keep_their_ids() -> None:
    there = np.linspace(0, 400, 81)
    frames = [faces((x, 100), (400 - x, 140)) for x in there]
    assert ids(frames, 25) == [[0, 1]] * len(frames)


def test_ids_belong_to_the_rows_as_they_were_given() -> None:
    frames = [faces((100, 100), (300, 100)), faces((300, 100), (100, 100)), faces((101, 100), (300, 100), (500, 100))]
    assert ids(frames, 25) == [[0, 1], [1, 0], [0, 1, 2]]


def test_a_clock_that_is_set_back_ends_tracks() -> None:
    follow = face_tracker(25)
    times = [3_600_000, 3_600_040, 5_000, 5_040]
    assert [follow(faces((100, 100)), each).tolist() for each in times] == [[0], [0], [1], [1]]


COVERED = {
    "shrinking at once": [
        (337, 125, 397, 232),
        (336, 126, 393, 232),
        (337, 127, 390, 232),
        (344, 125, 387, 232),
        (350, 124, 384, 230),
        (347, 120, 381, 228),
        (327, 125, 377, 219),
    ],
    "held back by the edge that covers it": [
        (338, 128, 396, 232),
        (338, 129, 393, 231),
        (340, 129, 390, 231),
        (343, 126, 387, 231),
        (349, 126, 384, 227),
        (350, 120, 381, 227),
        (331, 127, 377, 219),
    ],
}
"""Boxes of one face that walks behind another, measured with two detectors."""


@pytest.mark.parametrize("covered", COVERED.values(), ids=COVERED)
def test_a_face_that_was_covered_bit_by_bit_keeps_its_id(covered: list[tuple[int, int, int, int]]) -> None:
    """Its last boxes shrink and move with the edge that covers it; a prediction from them misses the face."""
    whole = [(555 - 3.2 * t, 127, 616 - 3.2 * t, 232) for t in range(68)]
    again = [(250 - 3.2 * t, 127, 303 - 3.2 * t, 233) for t in range(5)]
    frames = [np.array([[*box, 0.8]], np.float32) for box in (*whole, *covered)]
    frames += [NO_FACES] * 19 + [np.array([[*box, 0.8]], np.float32) for box in again]
    assert [found for found in ids(frames, 25) if found] == [[0]] * (68 + 7 + 5)


@pytest.mark.parametrize("pace", [1.5, 3, 6])
def test_a_face_that_passes_behind_a_post_keeps_its_id_at_any_pace(pace: float) -> None:
    """A box shows what is visible of the face, and none below one half: the post hides it for less than a second."""
    frames, left, right = [], 300.0, 300.0 + 20 * pace
    for x in np.arange(100, 560, pace).tolist():
        shown = (x, min(x + 60, left)) if x + 30 < left else (max(x, right), x + 60)
        frames.append(
            np.array([[shown[0], 100, shown[1], 180, 0.8]], np.float32) if shown[1] - shown[0] > 30 else NO_FACES
        )
    away = sum(not len(found) for found in frames)
    assert 15 < away <= 25
    assert {number for found in ids(frames, 25) for number in found} == {0}


@pytest.mark.parametrize("fps", [5, 10, 23.976, 25, 29.97, 60])
def test_absence_below_a_second_keeps_the_id_and_above_a_second_ends_it(fps: float) -> None:
    here = [faces((100, 100))] * 3
    shorter, longer = [NO_FACES] * int(0.8 * fps), [NO_FACES] * int(1.2 * fps)
    assert [found for found in ids([*here, *shorter, *here], fps) if found] == [[0]] * 6
    assert [found for found in ids([*here, *longer, *here], fps) if found] == [[0]] * 3 + [[1]] * 3


@pytest.mark.parametrize("fps", [0.2, 1, 2])
def test_low_frame_rates_follow_from_frame_to_frame(fps: float) -> None:
    assert ids([faces((100 + 5 * t, 100)) for t in range(6)], fps) == [[0]] * 6


def test_once_a_second_an_absent_frame_ends_the_track() -> None:
    assert ids([faces((100, 100)), NO_FACES, NO_FACES, faces((100, 100))], 1) == [[0], [], [], [1]]


def test_empty_frames_have_no_ids() -> None:
    assert ids([NO_FACES, NO_FACES, faces((10, 10)), NO_FACES], 25) == [[], [], [0], []]


def test_ids_begin_where_they_are_told_to() -> None:
    follow = face_tracker(25, first_id=7)
    assert follow(faces((100, 100), (300, 100)), 0).tolist() == [7, 8]
    assert follow(faces((100, 100), (300, 100), (500, 100)), 40).tolist() == [7, 8, 9]


@pytest.mark.parametrize(("away_ms", "goes_on"), [(1000, True), (1001, False)])
def test_absence_counts_in_capture_time_however_few_frames_came(away_ms: int, goes_on: bool) -> None:
    follow = face_tracker(25)
    for time_ms in (0, 40, 80):
        follow(faces((100, 100)), time_ms)
    assert follow(faces((100, 100)), 80 + away_ms).tolist() == [0 if goes_on else 1]


def test_a_face_that_moves_is_expected_where_it_would_be_after_a_gap() -> None:
    """Dropped frames change nothing: after the gap the face is 6 widths further, and the tracks are the same."""
    follow, every = face_tracker(25), face_tracker(25)
    path = [faces((10 + 12 * n, 100)) for n in range(50)]
    kept = [*range(20), *range(35, 50)]
    assert [every(path[n], 40 * n).tolist() for n in range(50)] == [[0]] * 50
    assert [follow(path[n], 40 * n).tolist() for n in kept] == [[0]] * len(kept)


@pytest.mark.parametrize("fps", [10, 20])
def test_frames_chosen_by_time_are_no_gaps(fps: float) -> None:
    """20 of 25 frames a second lie 40, 40, 40 and 80 ms apart: the filter advances by one step for each."""
    times = [time_ms for _, time_ms in select(Sampling(fps=fps), ((n, 40 * n) for n in range(100)))]
    path = [faces((100 + 9 * n, 100)) for n in range(len(times))]
    sampled, regular = face_tracker(fps), face_tracker(fps)
    given = [sampled(found, time_ms).tolist() for found, time_ms in zip(path, times, strict=True)]
    assert (
        given == [regular(found, round(1000 * n / fps)).tolist() for n, found in enumerate(path)] == [[0]] * len(path)
    )


def test_a_face_is_followed_to_the_next_frame_where_frames_are_two_periods_apart() -> None:
    """As those nearest to two neighbouring sampled times may be."""
    for apart, ids in ((1.0, [0, 0, 1, 1]), (2.0, [0, 0, 0, 0])):
        follow = face_tracker(1.0, apart=apart)
        assert [int(follow(faces((100, 100)), ms)[0]) for ms in (0, 550, 2400, 3000)] == ids


def test_trackers_do_not_know_of_each_other() -> None:
    first, second = face_tracker(25), face_tracker(25)
    given: list[NDArray[np.int64]] = [
        follow(faces((100, 100)), ms) for follow, ms in ((first, 0), (second, 0), (first, 40))
    ]
    assert [track.tolist() for track in given] == [[0], [0], [0]]


def test_tracks_are_those_of_the_package() -> None:
    """`trackers`' own ByteTrack, which names a track at its second box and gives rows in an order of its own."""
    random = np.random.default_rng(3)
    theirs = ByteTrackTracker(frame_rate=25, track_activation_threshold=0.4, high_conf_det_threshold=0.4)
    ours = face_tracker(25)
    places, speed = random.uniform(0, 900, (12, 2)), random.normal(0, 3, (12, 2))
    away = np.zeros(12, int)
    pairs: set[tuple[int, int]] = set()
    for number in range(300):
        places += speed + random.normal(0, 1, places.shape)
        speed[random.random(12) < 0.02] *= -1
        away = np.where(random.random(12) < 0.02, random.integers(1, 60, 12), np.maximum(away - 1, 0))
        seen = np.flatnonzero(away == 0)
        found = faces(*places[seen])
        marked = theirs.update(supervision.Detections(xyxy=found[:, :4], confidence=found[:, 4], class_id=seen))
        named = dict(zip(marked.class_id.tolist(), marked.tracker_id.tolist(), strict=True))
        pairs |= {
            (track, named[face]) for face, track in zip(seen.tolist(), ours(found, 40 * number).tolist(), strict=True)
        }
    pairs = {pair for pair in pairs if pair[1] >= 0}
    assert len(pairs) > 12, "tracks end and begin again"
    assert len({ours for ours, _ in pairs}) == len({theirs for _, theirs in pairs}) == len(pairs)
