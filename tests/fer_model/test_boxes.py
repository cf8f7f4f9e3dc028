import numpy as np
from numpy.typing import NDArray

from fer_model.boxes import iou


def boxes(*rows: list[float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_intersection_over_union_of_every_pair() -> None:
    first = boxes([0, 0, 20, 20], [10, 0, 30, 20], [500, 500, 520, 520])
    second = boxes([0, 0, 20, 20], [0, 0, 10, 10])
    expected = np.array([[1, 0.25], [1 / 3, 0], [0, 0]])
    np.testing.assert_allclose(iou(first, second), expected, rtol=1e-6)


def test_other_columns_do_not_count() -> None:
    scored = np.array([[0, 0, 20, 20, 0.9]])
    assert iou(scored, boxes([10, 0, 30, 20]))[0, 0] == np.float32(1 / 3)


def test_no_boxes_and_empty_boxes_are_no_error() -> None:
    assert iou(boxes([0, 0, 1, 1]), boxes()).shape == (1, 0)
    assert iou(boxes(), boxes()).shape == (0, 0)
    assert iou(boxes([5, 5, 5, 5]), boxes([5, 5, 5, 5])) == 0
