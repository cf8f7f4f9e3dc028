"""Augmentation on the device: what each disturbance does, and what it leaves alone."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from fer_model.training.distillation.views import SIDE, compressed, disturbed, lit, mixed, placed


@pytest.fixture
def faces() -> Tensor:
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(40, 1, 8, 8), size=(SIDE, SIDE), mode="bicubic")
    return smooth.clamp(0, 1) * 255


def test_without_strength_a_view_is_the_picture_or_its_mirror(faces: Tensor) -> None:
    torch.manual_seed(1)
    views = placed(faces, torch.zeros(()))
    straight, mirrored = ((views - each).abs().amax((1, 2, 3)) < 1 for each in (faces, faces.flip(3)))
    assert bool((straight | mirrored).all()) and bool(straight.any()) and bool(mirrored.any())


def test_a_zoomed_view_of_a_large_picture_shows_its_middle(faces: Tensor) -> None:
    large = torch.zeros(40, 1, 64, 64)
    large[:, :, 8:56, 8:56] = faces
    views = placed(large, torch.zeros(()), 48 / 64)
    nearer = torch.minimum((views - faces).abs().mean((1, 2, 3)), (views - faces.flip(3)).abs().mean((1, 2, 3)))
    assert float(nearer.max()) < 1


def test_compression_does_what_jpeg_does(faces: Tensor) -> None:
    torch.manual_seed(2)
    pictures = faces.round()
    ours = compressed(pictures)
    errors = (ours - pictures).abs().mean((1, 2, 3))
    theirs = []
    for quality in (12, 80):
        encoded = [cv2.imencode(".jpg", each[0].numpy(), [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for each in pictures]
        decoded = np.stack([np.asarray(cv2.imdecode(each, cv2.IMREAD_GRAYSCALE), np.float32) for each in encoded])
        theirs.append(float(np.abs(decoded - pictures[:, 0].numpy()).mean()))
    assert theirs[1] - 0.5 < float(errors.min()) <= float(errors.max()) < theirs[0] * 3
    assert theirs[1] < float(errors.mean()) < theirs[0] + 0.5


def test_light_and_disturbance_keep_pixels_in_range(faces: Tensor) -> None:
    views = disturbed(lit(faces))
    assert views.shape == faces.shape and float(views.min()) >= 0 and float(views.max()) <= 255
    assert not torch.equal(views, faces)


def test_disturbing_does_not_change_the_clear_view(faces: Tensor) -> None:
    kept = faces.clone()
    disturbed(faces)
    assert torch.equal(faces, kept)


def test_mixing_stays_inside_its_part_and_mixes_both_views_alike(faces: Tensor) -> None:
    torch.manual_seed(3)
    # Part k's pictures have the grey 10 * k, and its targets the class k.
    grey = torch.arange(4).repeat_interleave(10).float().view(40, 1, 1, 1) * 10 * torch.ones(40, 1, SIDE, SIDE)
    targets = torch.eye(4).repeat_interleave(10, 0)
    both, one, other = mixed(4, 1.0, targets, grey, grey + 1)
    assert torch.equal(both, targets), "a row is mixed with rows of its own part only"
    torch.testing.assert_close(other, one + 1)
    torch.testing.assert_close(one, grey)


def test_a_mixed_target_says_how_much_of_each_picture_is_there() -> None:
    torch.manual_seed(4)
    black_and_white = torch.arange(200).remainder(2).float()
    views = black_and_white.view(-1, 1, 1, 1).expand(-1, 1, SIDE, SIDE).contiguous()
    targets = torch.stack((1 - black_and_white, black_and_white), 1)
    both, mix = mixed(1, 0.8, targets, views)
    torch.testing.assert_close(both[:, 1], mix.mean((1, 2, 3)))
    torch.testing.assert_close(both.sum(1), torch.ones(200))
    assert 0.5 < float((both.max(1).values < 0.999).float().mean()) < 0.95
