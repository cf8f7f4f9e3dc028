"""Interpolated faces of the frames between detected ones."""

import numpy as np
import pytest

from fer_model.analysis.interpolation import interpolate, match_faces
from fer_model.engines.detection import Detections


def boxes(*rows: tuple[float, float, float, float, float]) -> Detections:
    return np.array(rows, np.float32).reshape(-1, 5)


LEFT, RIGHT = (0, 0, 10, 10, 0.9), (50, 0, 60, 10, 0.8)


def test_a_face_goes_straight_from_one_box_to_the_other() -> None:
    pairs = match_faces(boxes(LEFT), boxes((4, 2, 16, 12, 0.5)))
    np.testing.assert_allclose(interpolate(pairs, 0.25), boxes((1, 0.5, 11.5, 10.5, 0.8)), atol=1e-6)


def test_faces_are_found_again_in_whatever_order_they_come() -> None:
    before, after = match_faces(boxes(LEFT, RIGHT), boxes((51, 0, 61, 10, 0.95), (1, 0, 11, 10, 0.4)))
    assert before[:, 0].tolist() == [0, 50] and after[:, 0].tolist() == [1, 51]
    middle = interpolate((before, after), 0.5)
    assert middle[:, 4].tolist() == pytest.approx([0.875, 0.65]), "best first, as the detector gives them"


def test_who_is_in_one_of_the_two_frames_alone_is_left_out() -> None:
    for before, after in ((boxes(LEFT, RIGHT), boxes(LEFT)), (boxes(LEFT), boxes(LEFT, RIGHT))):
        assert interpolate(match_faces(before, after), 0.5)[:, :4].tolist() == [[0, 0, 10, 10]]


@pytest.mark.parametrize(("before", "after"), [(boxes(), boxes(LEFT)), (boxes(LEFT), boxes()), (boxes(), boxes())])
def test_without_faces_there_are_none_between(before: Detections, after: Detections) -> None:
    assert interpolate(match_faces(before, after), 0.5).shape == (0, 5)


def test_boxes_that_hardly_overlap_are_two_people() -> None:
    assert len(match_faces(boxes(LEFT), boxes((8, 0, 18, 10, 0.9)))[0]) == 0


def test_of_two_that_overlap_with_both_each_goes_with_its_own() -> None:
    near = boxes((0, 0, 10, 10, 0.9), (4, 0, 14, 10, 0.9))
    moved = boxes((7, 0, 17, 10, 0.9), (3, 0, 13, 10, 0.9))
    before, after = match_faces(near, moved)
    assert (after[:, 0] - before[:, 0]).tolist() == [3, 3]
