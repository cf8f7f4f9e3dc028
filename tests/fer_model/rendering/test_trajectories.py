"""Faces between the frames in which they were detected."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from fer_model.rendering.trajectories import Trajectories, trajectories_of
from fer_model.types import EMOTIONS

Row = tuple[int | None, int, int, Sequence[float]]


def row(track: int | None, time_ms: int, x: float, happy: float = 1.0, place: int | None = None) -> Row:
    """A face of a video of one frame a millisecond, unless a place is given."""
    probabilities = [happy if name == "happy" else 1 - happy if name == "sad" else 0.0 for name in EMOTIONS]
    return track, time_ms if place is None else place, time_ms, [x, 10.0, x + 20, 30.0, 0.9, 0.5, *probabilities]


def paths(*rows: Row, hold_ms: int = 0) -> Trajectories:
    def one_by_one() -> Iterator[Row]:
        yield from rows

    return Trajectories(trajectories_of(one_by_one()), hold_ms)


def test_between_two_detections_everything_goes_in_a_straight_line() -> None:
    (face,) = paths(row(4, 1000, 100, happy=1.0), row(4, 1200, 200, happy=0.0)).at(1050, 1050)
    assert face.box == pytest.approx((125, 10, 145, 30))
    assert (face.track_id, face.emotion) == (4, "happy") and face.confidence == pytest.approx(0.75)
    assert sum(face.probabilities) == pytest.approx(1.0)


def test_at_a_detection_it_is_what_was_detected() -> None:
    found = paths(row(0, 0, 10), row(0, 40, 50), row(0, 80, 90))
    assert [face.box[0] for time in (0, 40, 80) for face in found.at(time, time)] == [10, 50, 90]


def test_before_and_after_a_face_stays_as_long_as_it_is_told_to() -> None:
    found = paths(row(0, 1000, 10), row(0, 1040, 20), hold_ms=500)
    assert [len(found.at(time, time)) for time in (499, 500, 1540, 1541)] == [0, 1, 1, 0]
    assert (found.at(600, 600)[0].box[0], found.at(1500, 1500)[0].box[0]) == (10, 20)


def test_each_track_is_where_it_is() -> None:
    found = paths(row(0, 0, 0), row(1, 0, 500), row(0, 100, 100), row(1, 100, 400), row(2, 300, 0))
    assert {face.track_id: face.box[0] for face in found.at(50, 50)} == {0: 50, 1: 450}
    assert [face.track_id for face in found.at(300, 300)] == [2]


def test_faces_without_a_track_are_each_by_themselves() -> None:
    found = paths(row(None, 0, 0), row(None, 0, 300), row(None, 100, 100))
    assert [face.box[0] for face in found.at(0, 0)] == [0, 300] and found.at(50, 50) == []


def test_pictures_of_the_same_time_are_told_apart_by_their_places() -> None:
    found = paths(row(0, 40, 10, place=1), row(0, 40, 20, place=2), row(0, 40, 40, place=4), row(0, 80, 60, place=5))
    assert [found.at(place, time)[0].box[0] for place, time in ((1, 40), (2, 40), (3, 40), (4, 40), (5, 80))] == [
        10,
        20,
        30,
        40,
        60,
    ]


def test_a_face_may_be_there_up_to_the_next_frame_that_was_looked_at() -> None:
    rows = trajectories_of(iter([row(0, 2000, 10, place=50), row(0, 4000, 30, place=100)]))
    found = Trajectories(rows, 100, np.array([0, 25, 50, 75, 100, 125], np.int64))
    assert [len(found.at(place, 40 * place)) for place in (0, 25, 26, 49, 50, 75, 100, 124, 125)] == [
        0,
        0,
        1,
        1,
        1,
        1,
        1,
        1,
        0,
    ]


def test_no_face_is_nowhere() -> None:
    assert paths().at(0, 0) == []
