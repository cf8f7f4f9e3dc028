"""Augmentation of whole batches as tensors: one pass per batch, nothing per picture."""

import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from fer_model.training.recipes import Recipe
from fer_model.types import EMOTIONS

_MIXES = (v2.MixUp(alpha=1.0, num_classes=len(EMOTIONS)), v2.CutMix(alpha=1.0, num_classes=len(EMOTIONS)))


def augment(images: Tensor, labels: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Applies a recipe to a batch.

    Takes (N, 1, 48, 48) floats 0..255 and (N,) class indices; gives pictures of the same shape
    and targets (N, 7) that sum to 1. Draws from torch's global generator, so a restored
    generator state repeats the batch.
    """
    images = jitter(move(images, recipe), recipe.jitter)
    if recipe.cutout:
        images = cutout(images, recipe.cutout)
    if recipe.mix and torch.rand(()) < recipe.mix:
        mix = _MIXES[int(torch.randint(len(_MIXES), ()))]
        mixed: tuple[Tensor, Tensor] = mix(images, labels)
        return mixed
    return images, functional.one_hot(labels, len(EMOTIONS)).to(images.dtype)


def move(images: Tensor, recipe: Recipe) -> Tensor:
    """Mirrors, turns and shifts each picture on its own, in one resampling; what comes in is black."""
    if not (recipe.flip or recipe.padding or recipe.rotation):
        return images
    n, _, _, side = images.shape
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if recipe.flip else torch.ones(n)
    angle = (torch.rand(n) * 2 - 1) * math.radians(recipe.rotation)
    # Whole pixels, as in cropping from a padded picture; affine_grid counts in half sides.
    shift = torch.randint(-recipe.padding, recipe.padding + 1, (n, 2)) * (2.0 / side)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = (torch.stack((cos * mirror, -sin, shift[:, 0]), 1), torch.stack((sin * mirror, cos, shift[:, 1]), 1))
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    moved: Tensor = functional.grid_sample(images, grid.to(images.device), align_corners=False)
    return moved


def jitter(images: Tensor, spread: float) -> Tensor:
    """Brightness and contrast of each picture, each scaled by a factor in 1 ± spread."""
    if not spread:
        return images
    brightness, contrast = 1 + (torch.rand(2, len(images), 1, 1, 1, device=images.device) * 2 - 1) * spread
    mean = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = (((images - mean) * contrast + mean) * brightness).clamp(0, 255)
    return changed


def cutout(images: Tensor, side: int) -> Tensor:
    """Blackens one square of each picture, its centre anywhere (DeVries and Taylor, 2017)."""
    n, _, height, width = images.shape
    centre_y = torch.randint(height, (n, 1, 1, 1), device=images.device)
    centre_x = torch.randint(width, (n, 1, 1, 1), device=images.device)
    y = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    x = torch.arange(width, device=images.device).view(1, 1, 1, -1)
    inside = ((y - centre_y).abs() * 2 < side) & ((x - centre_x).abs() * 2 < side)
    return images.masked_fill(inside, 0.0)
