import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_model.analysis.quality import face_quality
from tests.support.clips import noise_picture

SHARP = np.asarray(cv2.cvtColor(noise_picture(48, 48), cv2.COLOR_RGB2GRAY), np.uint8)


def box(width: float, height: float) -> NDArray[np.float32]:
    return np.array([10, 10, 10 + width, 10 + height, 0.9], np.float32)


def test_grows_with_the_size_up_to_48_pixels() -> None:
    values = [face_quality(SHARP, box(side, side), 0.9) for side in (4, 8, 16, 32, 48)]
    assert values == sorted(set(values))
    assert face_quality(SHARP, box(400, 400), 0.9) == values[-1]


def test_the_shorter_side_counts() -> None:
    assert face_quality(SHARP, box(10, 40), 0.9) == face_quality(SHARP, box(10, 10), 0.9)


def test_grows_with_sharpness() -> None:
    blurred = [np.asarray(cv2.GaussianBlur(SHARP, (0, 0), sigma), np.uint8) for sigma in (8, 4, 2, 1, 0.5)]
    values = [face_quality(face, box(48, 48), 0.9) for face in [*blurred, SHARP]]
    assert values == sorted(set(values))


def test_grows_with_the_score() -> None:
    values = [face_quality(SHARP, box(48, 48), score) for score in (0.1, 0.4, 0.7, 1.0)]
    assert values == sorted(set(values))


@pytest.mark.parametrize("side", [0.01, 48, 5000])
@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_lies_in_0_to_1(side: float, score: float) -> None:
    checks = (np.indices((48, 48)).sum(0) % 2 * 255).astype(np.uint8)
    for face in (SHARP, checks, np.zeros((48, 48), np.uint8)):
        assert 0 <= face_quality(face, box(side, side), score) <= 1


def test_a_flat_crop_is_useless() -> None:
    assert face_quality(np.full((48, 48), 90, np.uint8), box(48, 48), 1.0) == 0
