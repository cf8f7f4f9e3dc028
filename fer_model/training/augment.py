"""Augmentation of whole batches as tensors: one pass per batch, nothing per picture.

What differs from picture to picture is drawn on the pictures' device, what holds for the whole batch on the CPU, each
from torch's global generator: restored states repeat a batch, and no draw waits for the device.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from fer_model.training.recipes import Recipe
from fer_model.types import EMOTIONS

LEAST_SIDE = 14
"""The least width in pixels to which `blur` shrinks a face, about the detector's smallest."""


def augment(images: Tensor, targets: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Applies a recipe to a batch.

    Takes (N, 1, 48, 48) floats 0..255 and targets (N, 7) that sum to 1, both on one device;
    gives both of the same shape, the pictures again within 0..255.
    """
    images = jitter(move(images, recipe), recipe.jitter)
    images = noise(blur(relight(images, recipe.light), recipe.blur), recipe.noise)
    if recipe.cutout:
        images = cutout(images, recipe.cutout, recipe.cutout_share)
    if recipe.mix and torch.rand(()) < recipe.mix:
        kind = (v2.MixUp, v2.CutMix)[int(torch.randint(2, ()))]
        mixed: tuple[Tensor, Tensor] = kind(alpha=recipe.mix_alpha, num_classes=len(EMOTIONS))(images, targets)
        return mixed
    return images, targets


def move(images: Tensor, recipe: Recipe) -> Tensor:
    """Mirrors, rotates, scales and shifts each picture independently, in one resampling."""
    if not (recipe.flip or recipe.padding or recipe.rotation or recipe.scale):
        return images
    n, _, _, side = images.shape
    device = images.device
    mirror = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0) if recipe.flip else torch.ones(n, device=device)
    angle, size = _around(images, n) * math.radians(recipe.rotation), 1 + _around(images, n) * recipe.scale
    # Whole pixels, as in cropping from a padded picture; affine_grid counts in half sides.
    shift = torch.randint(-recipe.padding, recipe.padding + 1, (n, 2), device=device) * (2.0 / side)
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    rows = (torch.stack((cos * mirror, -sin, shift[:, 0]), 1), torch.stack((sin * mirror, cos, shift[:, 1]), 1))
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    moved: Tensor = functional.grid_sample(images, grid, padding_mode=recipe.edge, align_corners=False)
    return moved


def jitter(images: Tensor, spread: float) -> Tensor:
    """Scales brightness and contrast of each picture by factors in 1 ± spread."""
    if not spread:
        return images
    brightness, contrast = 1 + _around(images, 2, len(images), 1, 1, 1) * spread
    mean = images.mean((1, 2, 3), keepdim=True)
    changed: Tensor = (((images - mean) * contrast + mean) * brightness).clamp(0, 255)
    return changed


def relight(images: Tensor, strength: float) -> Tensor:
    """Light from one side, darker across the face by up to `strength`, and a gamma curve of 2^±strength."""
    if not strength:
        return images
    (n, _, height, width), device = images.shape, images.device
    angle, depth = torch.rand(n, device=device) * 2 * math.pi, torch.rand(n, device=device) * strength
    gamma = 2 ** (_around(images, n) * strength)
    lines = torch.linspace(-1, 1, height, device=device), torch.linspace(-1, 1, width, device=device)
    y, x = torch.meshgrid(*lines, indexing="ij")
    ramp = _each(torch.cos(angle)) * x + _each(torch.sin(angle)) * y
    lit: Tensor = (images / 255).pow(_each(gamma)).mul(1 + _each(depth) * ramp).clamp(0, 1) * 255
    return lit


def blur(images: Tensor, share: float) -> Tensor:
    """Shrinks and enlarges a share of the pictures, like enlarged small faces; one size per batch."""
    if not share:
        return images
    side = int(torch.randint(LEAST_SIDE, images.shape[-1] - 8, ()))
    small = functional.interpolate(images, size=(side, side), mode="area")
    large = functional.interpolate(small, size=images.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(_chosen(images, share), large, images)


def noise(images: Tensor, deviation: float) -> Tensor:
    """Adds sensor noise, with a random standard deviation for each picture."""
    if not deviation:
        return images
    grain = torch.randn_like(images) * torch.rand(len(images), 1, 1, 1, device=images.device) * deviation
    noisy: Tensor = (images + grain).clamp(0, 255)
    return noisy


def cutout(images: Tensor, side: int, share: float = 1.0) -> Tensor:
    """Blackens one square of each chosen picture, its centre anywhere (DeVries and Taylor, 2017)."""
    (n, _, height, width), device = images.shape, images.device
    centre_y, centre_x = (torch.randint(length, (n, 1, 1, 1), device=device) for length in (height, width))
    y, x = torch.arange(height, device=device).view(1, 1, -1, 1), torch.arange(width, device=device).view(1, 1, 1, -1)
    inside = ((y - centre_y).abs() * 2 < side) & ((x - centre_x).abs() * 2 < side)
    return images.masked_fill(inside & _chosen(images, share), 0.0)


def _around(images: Tensor, *shape: int) -> Tensor:
    return torch.rand(*shape, device=images.device) * 2 - 1


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _chosen(images: Tensor, share: float) -> Tensor:
    return torch.rand(len(images), 1, 1, 1, device=images.device) < share
