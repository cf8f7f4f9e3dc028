"""The assignment of faces, against SciPy's."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from fer_model.analysis.matching import best_pairs
from fer_model.boxes import iou


@pytest.mark.parametrize("crowding", [0.02, 0.3, 1.0])
def test_pairs_are_those_of_scipy(crowding: float) -> None:
    """From two crowds that hardly overlap to one in which each face touches each other."""
    random = np.random.default_rng(1)
    for _ in range(300):
        rows, columns = random.integers(0, 12, 2)
        places = [random.uniform(0, 1 / crowding, (count, 2)) * 100 for count in (rows, columns)]
        first, second = (np.hstack((at, at + random.uniform(50, 150, at.shape))) for at in places)
        overlaps = iou(first, second)
        expected = linear_sum_assignment(overlaps, maximize=True)
        kept = overlaps[expected] >= 0.1
        for found, wanted in zip(best_pairs(overlaps, 0.1), expected, strict=True):
            assert found.tolist() == wanted[kept].tolist()


def test_a_disputed_face_goes_where_the_sum_is_largest() -> None:
    """The first pair overlaps most, but would leave the others alone."""
    overlaps = np.array([[0.9, 0.8], [0.8, 0.0]], np.float32)
    assert [found.tolist() for found in best_pairs(overlaps, 0.1)] == [[0, 1], [1, 0]]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 3)])
def test_faces_that_touch_no_other_stay_alone(shape: tuple[int, int]) -> None:
    assert [found.tolist() for found in best_pairs(np.zeros(shape, np.float32), 0.1)] == [[], []]
