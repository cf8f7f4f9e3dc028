import numpy as np
import pytest
from numpy.typing import NDArray

from fer_model.training.measurement.average_precision import average_precision

FAR = 1000.0
"""A box without a face."""


def square(x: float, side: float = 20) -> list[float]:
    return [x, 0, x + side, side]


def truth(*boxes: list[float]) -> NDArray[np.float32]:
    return np.array(boxes, np.float32).reshape(-1, 4)


def found(*boxes: tuple[list[float], float]) -> NDArray[np.float32]:
    return np.array([[*box, score] for box, score in boxes], np.float32).reshape(-1, 5)


@pytest.mark.parametrize(
    ("boxes", "faces", "expected"),
    [
        (found((square(0), 0.9)), truth(square(0)), 1.0),
        (found((square(FAR), 0.9)), truth(square(0)), 0.0),
        (found(), truth(square(0)), 0.0),
        (found(), truth(), 0.0),
        (found((square(0), 0.9)), truth(), 0.0),
        # Hit, miss, hit of two faces: precision 1 up to recall 1/2, then 2/3.
        (found((square(0), 0.9), (square(FAR), 0.8), (square(100), 0.7)), truth(square(0), square(100)), 0.5 + 1 / 3),
        # Miss, hit: precision 1/2 all along.
        (found((square(FAR), 0.9), (square(0), 0.8)), truth(square(0)), 0.5),
        # Miss, hit, hit, of four faces: the envelope lifts 1/2 to 2/3; half of the faces are never found.
        (
            found((square(FAR), 0.9), (square(0), 0.8), (square(100), 0.7)),
            truth(square(0), square(100), square(200), square(300)),
            0.5 * 2 / 3,
        ),
        # A face counts once: the second box on it is a miss, here before the other hit.
        (
            found((square(0), 0.9), (square(1), 0.8), (square(100), 0.7)),
            truth(square(0), square(100)),
            0.5 + 0.5 * 2 / 3,
        ),
        # The order of the boxes in the array does not matter, their scores do.
        (found((square(FAR), 0.1), (square(0), 0.8)), truth(square(0)), 1.0),
        # An overlap of exactly a half is a hit, a little less is not.
        (found(([0, 0, 20, 10], 0.9)), truth(square(0)), 1.0),
        (found(([0, 0, 20, 9.9], 0.9)), truth(square(0)), 0.0),
    ],
)
def test_one_picture(boxes: NDArray[np.float32], faces: NDArray[np.float32], expected: float) -> None:
    assert average_precision([boxes], [faces]) == pytest.approx(expected)


def test_scores_are_compared_across_pictures() -> None:
    boxes = [found((square(0), 0.5)), found((square(FAR), 0.9))]
    assert average_precision(boxes, [truth(square(0)), truth()]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (found((square(0), 0.8)), 1.0),  # the small face need not be found
        (found((square(0), 0.8), (square(100, 8), 0.9)), 1.0),  # and is no miss if it is
        (found((square(0), 0.8), ([100, 0, 108, 11], 0.9)), 1.0),  # even by a box that is large enough to count
        (found((square(0), 0.8), (square(FAR, 8), 0.9)), 1.0),  # a small box on nothing is left out too
        (found((square(0), 0.8), (square(FAR, 10), 0.9)), 0.5),  # a larger one is not
        (found((square(0), 0.8), (square(100, 8), 0.95), ([100, 0, 108, 10], 0.9)), 0.5),  # matched once only
    ],
)
def test_small_faces_are_neither_hits_nor_misses(boxes: NDArray[np.float32], expected: float) -> None:
    assert average_precision([boxes], [truth(square(0), square(100, 8))]) == pytest.approx(expected)


def test_a_face_that_counts_is_preferred_to_an_ignored_one() -> None:
    faces = truth([0, 0, 20, 12], [0, 0, 20, 9])
    assert average_precision([found(([0, 0, 20, 9.5], 0.9))], [faces]) == 1.0


def test_pictures_and_truth_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        average_precision([found()], [])
