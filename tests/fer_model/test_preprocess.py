import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fer_model.preprocess import FACE_SIZE, PIXEL_MEAN, PIXEL_STD, crop_face, face_square, normalise
from tests.support.clips import noise_picture


def box(*corners: float) -> NDArray[np.float32]:
    return np.array([*corners, 0.9], np.float32)


@pytest.mark.parametrize(
    ("corners", "margin", "square"),
    [
        ((10, 20, 58, 68), 0.0, (10, 20, 48)),
        ((10, 20, 30, 60), 0.0, (0, 20, 40)),  # tall: widened to both sides
        ((10, 20, 50, 40), 0.0, (10, 10, 40)),  # wide: heightened to both sides
        ((10, 20, 50, 60), 0.5, (0, 10, 60)),
        ((10, 20, 50, 60), -0.5, (20, 30, 20)),
        ((0, 0, 20, 40), 0.0, (-10, 0, 40)),  # reaches beyond the picture
        ((5, 5, 5.2, 5.1), 0.0, (5, 5, 1)),  # never empty
    ],
)
def test_face_square(corners: tuple[float, ...], margin: float, square: tuple[int, int, int]) -> None:
    assert face_square(box(*corners), margin) == square


def test_a_crop_of_its_own_size_is_the_grey_picture_itself() -> None:
    picture = noise_picture(200, 160)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    crop = crop_face(picture, box(30, 40, 78, 88), 0.0)
    np.testing.assert_array_equal(crop, grey[40:88, 30:78])


@pytest.mark.parametrize(("channel", "weight"), [(0, 0.299), (1, 0.587), (2, 0.114)])
def test_grey_weighs_the_colours_as_itu_601(channel: int, weight: float) -> None:
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[..., channel] = 255
    assert crop_face(picture, box(0, 0, 60, 60), 0.0).mean() == pytest.approx(255 * weight, abs=0.6)


def test_edges_are_repeated_beyond_the_picture() -> None:
    picture = noise_picture(100, 100)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    expected = np.pad(grey[:36, :24], ((12, 0), (24, 0)), mode="edge")
    np.testing.assert_array_equal(crop_face(picture, box(-24, -12, 24, 36), 0.0), expected)
    expected = np.pad(grey[-24:, -24:], ((0, 24), (0, 24)), mode="edge")
    np.testing.assert_array_equal(crop_face(picture, box(76, 76, 124, 124), 0.0), expected)


@pytest.mark.parametrize(
    "corners",
    [
        (50, 50, 50.4, 50.4),
        (99.9, 99.9, 100, 100),
        (0, 0, 100, 1),
        (-2000, -2000, 3000, 3000),
        (0, 0, 100, 100),
        (500, 500, 520, 520),
    ],
)
def test_tiny_and_huge_boxes_give_a_crop(corners: tuple[float, ...]) -> None:
    crop = crop_face(noise_picture(100, 100), box(*corners), 0.3)
    assert crop.shape == (FACE_SIZE, FACE_SIZE)
    assert crop.dtype == np.uint8


def test_a_view_with_gaps_gives_the_same_crop() -> None:
    picture = noise_picture(100, 100)
    mirrored = picture[:, ::-1]
    corners = box(10, 10, 80, 80)
    np.testing.assert_array_equal(
        crop_face(mirrored, corners, 0.0), crop_face(np.ascontiguousarray(mirrored), corners, 0.0)
    )


def test_shrinking_does_not_alias() -> None:
    checks = (np.indices((480, 480)).sum(0) % 2 * 255).astype(np.uint8)
    crop = crop_face(np.repeat(checks[..., None], 3, 2), box(0, 0, 480, 480), 0.0)
    assert np.ptp(crop) <= 2
    assert crop.mean() == pytest.approx(127.5, abs=1)


def test_normalise_is_the_same_for_numpy_and_torch() -> None:
    grey = np.arange(256, dtype=np.float32)
    values = normalise(grey)
    np.testing.assert_allclose(normalise(torch.from_numpy(grey)).numpy(), values, atol=1e-6)
    assert values[0] == pytest.approx(-PIXEL_MEAN / PIXEL_STD)
    assert values[255] == pytest.approx((1 - PIXEL_MEAN) / PIXEL_STD)
