"""The GPU's pre- and postprocessing, run on the CPU, against OpenCV's."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from fer_model.engines.detection import letterbox
from fer_model.engines.tensors import cropped, letterboxed, resampling
from fer_model.preprocess import crop_face, crop_faces, face_square
from fer_model.types import Image
from tests.support.clips import noise_picture


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (640, 360),
        (640, 384),
        (1280, 720),
        (1920, 1080),
        (1000, 563),
        (320, 180),
        (200, 300),
        (2561, 1283),
        (3000, 10),
        (1, 1),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_letterboxed_pictures_are_those_of_opencv(width: int, height: int, dtype: torch.dtype) -> None:
    pictures = [noise_picture(width, height), noise_picture(width, height)[::-1].copy()]
    found = letterboxed(torch.from_numpy(np.stack(pictures)), dtype)
    expected = np.stack([letterbox(picture)[0] for picture in pictures]).transpose(0, 3, 1, 2)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.float().numpy() * 255, expected, atol=1.1)


def faces_of(picture: Image, corners: Sequence[Sequence[float]], margin: float) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.array(corners, np.float32)
    squares = torch.tensor([face_square(box, margin) for box in boxes])
    return cropped(torch.from_numpy(picture), squares).numpy(), crop_faces([picture], [boxes], margin)


@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("width", [20, 48, 49, 63.4, 96, 130.7, 250])
def test_crops_are_those_of_opencv(width: float, margin: float) -> None:
    places = [(100, 40), (0, 0), (-15.3, 20), (380, 200), (120.5, -30.2), (395, -12), (-9, 260.6)]
    found, expected = faces_of(noise_picture(400, 300), [(x, y, x + width, y + width) for x, y in places], margin)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)


def test_a_square_larger_than_the_picture_repeats_its_edge() -> None:
    found, expected = faces_of(noise_picture(40, 30), [(-60, -60, 90, 90), (-5, -5, 45, 20)], 0.0)
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)


def test_no_faces_are_no_crops() -> None:
    assert cropped(torch.zeros(30, 40, 3, dtype=torch.uint8), torch.zeros(0, 3)).shape == (0, 48, 48)


@pytest.mark.parametrize("area", [True, False])
def test_every_new_pixel_is_a_mean_of_old_ones(area: bool) -> None:
    start, side = torch.tensor([-7.0, 0, 3.5, 95]), torch.tensor([20.0, 100, 48, 300])
    weights = resampling(start, side, 48, 100, area=torch.full((4,), area))
    assert weights.shape == (4, 48, 100)
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(2), torch.ones(4, 48))


def test_a_flat_crop_keeps_its_grey() -> None:
    picture = np.full((200, 200, 3), (200, 100, 50), np.uint8)
    box = np.array([50, 50, 150, 150], np.float32)
    found, _ = faces_of(picture, [box.tolist()], 0.0)
    assert (found == crop_face(picture, box, 0.0)[0, 0]).all()
