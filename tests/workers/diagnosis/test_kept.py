"""The share of faces kept, which `fer-batch bench` prints."""

import numpy as np
import pytest

from workers.diagnosis.kept import Boxes, faces_kept

Corners = tuple[float, float, float, float]
LEFT, RIGHT = (0, 0, 10, 10), (100, 0, 110, 10)


def boxes(frames: dict[int, list[Corners]]) -> Boxes:
    return {frame: np.array(corners, np.float32) for frame, corners in frames.items()}


@pytest.mark.parametrize(
    ("found", "share"),
    [
        ({0: [RIGHT, LEFT], 1: [LEFT]}, 1.0),
        ({0: [(0, 0, 10, 6), RIGHT], 1: [LEFT]}, 1.0),  # IoU 0.6
        ({0: [(0, 0, 10, 4), RIGHT], 1: [LEFT]}, 2 / 3),  # IoU 0.4
        ({0: [LEFT, RIGHT], 2: [LEFT]}, 2 / 3),  # in another frame
        ({0: [LEFT]}, 1 / 3),
        ({}, 0.0),
    ],
)
def test_a_face_is_kept_where_one_of_the_same_frame_overlaps_it(found: dict[int, list[Corners]], share: float) -> None:
    assert faces_kept(boxes({0: [LEFT, RIGHT], 1: [LEFT]}), boxes(found)) == pytest.approx(share)


def test_without_faces_none_is_lost() -> None:
    assert faces_kept({}, boxes({0: [LEFT]})) == 1
