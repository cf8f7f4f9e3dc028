import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fer_model.analysis.quality import FRONTAL, face_quality, symmetry
from tests.support.clips import noise_picture

NOISE = np.asarray(cv2.cvtColor(noise_picture(48, 48), cv2.COLOR_RGB2GRAY), np.uint8)
SHARP = np.hstack([NOISE[:, :24], NOISE[:, 23::-1]])
"""A picture whose halves are alike."""


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


def drawn(turn: float = 0.0, light: float = 0.0) -> NDArray[np.uint8]:
    """A face of (48, 48) whose eyes, nose and mouth `turn` 0..1 moves to the right; hair fills the left instead.

    `light` is how much brighter the right side is than the left.
    """
    big = np.full((192, 192), 60.0, np.float32)
    cv2.ellipse(big, (96, 96), (72, 92), 0, 0, 360, 170, -1)
    off = round(52 * turn)
    if turn:
        cv2.ellipse(big, (24, 80), (round(84 * turn), 92), 0, 0, 360, 30, -1)
    for x in (64, 128):
        cv2.ellipse(big, (x + off, 76), (14, 7), 0, 0, 360, 40, -1)
    cv2.line(big, (96 + off, 84), (96 + off, 116), 110, 6)
    cv2.ellipse(big, (96 + off, 144), (28, 8), 0, 0, 360, 70, -1)
    shaded = big * np.linspace(1 - light, 1 + light, 192)
    return np.asarray(cv2.resize(np.clip(shaded, 0, 255).astype(np.uint8), (48, 48), interpolation=cv2.INTER_AREA))


def test_falls_as_the_face_turns_away() -> None:
    values = [symmetry(drawn(turn)) for turn in (0, 0.2, 0.35, 1)]
    assert values == sorted(set(values), reverse=True) and values[0] > 0.9 and values[-1] < FRONTAL
    assert face_quality(drawn(), box(48, 48), 0.9) > face_quality(drawn(1), box(48, 48), 0.9)


def test_a_face_from_the_front_keeps_its_quality_in_light_from_one_side_and_a_little_off_the_middle() -> None:
    for face in (
        drawn(light=0.5),
        np.roll(drawn(), 1, axis=1),
        np.roll(drawn(), -1, axis=1),
        NOISE // 8 + drawn() // 2,
    ):
        assert symmetry(face) > FRONTAL


def test_a_mirror_image_has_the_same_symmetry() -> None:
    for face in (NOISE, drawn(0.5), np.zeros((48, 48), np.uint8)):
        assert symmetry(np.ascontiguousarray(face[:, ::-1])) == pytest.approx(symmetry(face), abs=1e-4)
        assert 0 <= symmetry(face) <= 1


def test_halves_that_are_not_alike_cost_at_most_half_of_the_quality() -> None:
    # The right half is turned upside down.
    whole, upset = (
        face_quality(each, box(48, 48), 0.9) for each in (SHARP, np.hstack([SHARP[:, :24], SHARP[::-1, 24:]]))
    )
    assert whole / 2 <= upset < 0.85 * whole
