"""Augmentation on the device, one pass a batch: no draw on the host, so that a step can be captured as a CUDA graph.

Pictures are (n, 1, 48, 48) floats 0..255. A view has two versions: the clear one, which a teacher sees, and the one
that a camera, a codec and a hand in front of the face have disturbed, which a pupil sees.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 48
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
"""JPEG's luminance quantisation table at quality 50 (ITU-T T.81, table K.1)."""

SMALL_SIDES = (13, 18, 24, 32)
"""Sides in pixels of small faces: each is simulated on one picture in twenty."""


def spread(count: int, device: torch.device, *shape: int) -> Tensor:
    """Uniform numbers -1..1, (count, *shape)."""
    return torch.rand(count, *shape, device=device) * 2 - 1


def placed(images: Tensor, strength: Tensor, zoom: float = 1.0) -> Tensor:
    """Mirrored, turned, shifted and scaled views (n, 1, 48, 48) of pictures of any side.

    `strength` is a scalar tensor, 1 for the whole geometry; `zoom` below 1 shows the middle part only.
    """
    n, device = len(images), images.device
    angle = spread(n, device) * math.radians(12) * strength
    wide = (torch.rand(n, device=device) < 0.25).float()
    scale = zoom * (1 + spread(n, device) * (0.15 + 0.15 * wide) * strength)
    mirror = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    shift = spread(n, device, 2) * (5 * 2 / SIDE) * strength * zoom
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = (torch.stack((cos * mirror, -sin, shift[:, 0]), 1), torch.stack((sin * mirror, cos, shift[:, 1]), 1))
    grid = functional.affine_grid(torch.stack(rows, 1), [n, 1, SIDE, SIDE], align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def lit(images: Tensor) -> Tensor:
    """Other brightness, contrast and gamma, and a shadow from one side."""
    n, device = len(images), images.device
    mean = images.mean((1, 2, 3), keepdim=True)
    images = ((images - mean) * (1 + 0.25 * spread(n, device, 1, 1, 1)) + mean) * (
        1 + 0.25 * spread(n, device, 1, 1, 1)
    )
    line = torch.linspace(-1, 1, SIDE, device=device)
    side = torch.rand(n, 1, 1, 1, device=device) * 2 * math.pi
    ramp = torch.cos(side) * line.view(1, 1, 1, -1) + torch.sin(side) * line.view(1, 1, -1, 1)
    curved = (images.clamp(0, 255) / 255).pow(2 ** (0.3 * spread(n, device, 1, 1, 1)))
    return (curved * (1 + 0.3 * torch.rand(n, 1, 1, 1, device=device) * ramp)).clamp(0, 1) * 255


def disturbed(images: Tensor) -> Tensor:
    """Small faces enlarged, JPEG's blocks, blur, noise and an occluding square; each on a part of the batch."""
    n, device = len(images), images.device
    images = images.clone()
    for place, small_side in enumerate(SMALL_SIDES):
        small = functional.interpolate(images[place::20], size=(small_side, small_side), mode="area")
        images[place::20] = functional.interpolate(small, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    images[1::10] = blurred(images[1::10])
    images = (images + torch.randn_like(images) * torch.rand(n, 1, 1, 1, device=device) * 4).clamp(0, 255)
    images[::6] = compressed(images[::6])
    side = torch.randint(8, 21, (n, 1, 1, 1), device=device)
    top, left = (torch.randint(SIDE, (n, 1, 1, 1), device=device) for _ in range(2))
    line = torch.arange(SIDE, device=device)
    hole = ((line.view(1, 1, -1, 1) - top).abs() * 2 < side) & ((line.view(1, 1, 1, -1) - left).abs() * 2 < side)
    chosen = torch.rand(n, 1, 1, 1, device=device) < 0.3
    return torch.where(hole & chosen, images.mean((1, 2, 3), keepdim=True), images)


def blurred(images: Tensor) -> Tensor:
    """Gaussian blur of 0.4 to 1.6 pixels, another for each picture."""
    n, device = len(images), images.device
    sigma = 0.4 + 1.2 * torch.rand(n, 1, device=device)
    taps = torch.exp(-(torch.arange(-3, 4, device=device) ** 2) / (2 * sigma**2))
    taps = taps / taps.sum(1, keepdim=True)
    row = functional.pad(images.view(1, n, SIDE, SIDE), (3, 3, 3, 3), mode="replicate")
    row = functional.conv2d(row, taps.view(n, 1, 1, 7), groups=n)
    return functional.conv2d(row, taps.view(n, 1, 7, 1), groups=n).view(n, 1, SIDE, SIDE)


def compressed(images: Tensor) -> Tensor:
    """What JPEG of quality 12 to 80 leaves of grey pictures: cosine transform of 8x8 blocks, rounded coefficients."""
    n, device = len(images), images.device
    quality = 12 + 68 * torch.rand(n, 1, 1, 1, 1, device=device)
    factor = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    table, basis = _jpeg(device)
    table = table * factor
    blocks = (images - 128).view(n, SIDE // 8, 8, SIDE // 8, 8).transpose(2, 3)
    coefficients = torch.round(basis @ blocks @ basis.T / table) * table
    restored = basis.T @ coefficients @ basis
    return (restored.transpose(2, 3).reshape(n, 1, SIDE, SIDE) + 128).clamp(0, 255)


@cache
def _jpeg(device: torch.device) -> tuple[Tensor, Tensor]:
    """The table and the cosine basis; made once, because a graph cannot copy from the host."""
    line = torch.arange(8, device=device, dtype=torch.float32)
    basis = torch.cos((2 * line.view(1, -1) + 1) * line.view(-1, 1) * math.pi / 16) / 2
    basis[0] = basis[0] / math.sqrt(2)
    return torch.tensor(LUMINANCE, device=device, dtype=torch.float32).view(1, 1, 1, 8, 8), basis


def mixed(parts: int, share: float, targets: Tensor, *views: Tensor) -> tuple[Tensor, ...]:
    """MixUp or CutMix of `share` of the pictures, the same in each view, inside each of `parts` equal parts.

    Targets (n, c) and views (n, 1, 48, 48) come back in this order.
    """
    n, device = len(targets), targets.device
    each = n // parts
    place = torch.arange(n, device=device).view(parts, each).roll(1, 1).flatten()
    kept = torch.rand(n, device=device)
    kind = torch.rand(n, device=device)
    line = torch.arange(SIDE, device=device)
    half = (SIDE * torch.sqrt(1 - kept) / 2).view(n, 1, 1, 1)
    top, left = (torch.rand(n, 1, 1, 1, device=device) * SIDE for _ in range(2))
    hole = ((line.view(1, 1, -1, 1) - top).abs() < half) & ((line.view(1, 1, 1, -1) - left).abs() < half)
    cut = kind < share / 2
    weight = torch.where(kind < share, 1 - kept, 0.0).view(n, 1, 1, 1)
    weight = torch.where(cut.view(n, 1, 1, 1), hole.float(), weight)
    results = [view.lerp(view[place], weight.expand_as(view)) for view in views]
    portion = weight.expand(n, 1, SIDE, SIDE).mean((1, 2, 3)).view(n, 1)
    return targets.lerp(targets[place], portion.expand_as(targets)), *results
