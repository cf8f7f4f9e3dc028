"""Pre- and postprocessing of the networks as tensor operations, on the tensors' own device.

Equal to `detection` and `preprocess`, which use OpenCV, to one grey level. Resizing is a product with two matrices, one
for the rows and one for the columns: exact for any part of a picture, also beyond its edges, and fast on a GPU.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from fer_model.engines.detection import PADDING_GREY, anchors, halvings, letterbox_shape, scaled
from fer_model.networks.architectures import BINS
from fer_model.preprocess import FACE_SIZE

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey, as in JPEG (ITU-R BT.601)."""


def letterboxed(pictures: Tensor, dtype: torch.dtype) -> Tensor:
    """The detector's input (B, 3, H', W'), 0..1, letterboxed, from RGB bytes (B, H, W, 3)."""
    height, width = pictures.shape[1:3]
    across, down, _ = scaled(height, width)
    inside = pictures.permute(0, 3, 1, 2).to(dtype)
    if (across, down) != (width, height):
        halves, device = halvings(height, width), pictures.device
        rows, columns = (_whole(old, new, halves, dtype, device) for old, new in ((height, down), (width, across)))
        inside = (rows @ inside @ columns.T).round()
    below, right = (full - part for full, part in zip(letterbox_shape(height, width), (down, across), strict=True))
    return functional.pad(inside, (0, right, 0, below), value=PADDING_GREY) / 255


@lru_cache(32)
def _whole(old: int, new: int, halves: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Resampling weights (new, old) of a whole side that is halved so many times first.

    Cached, since computing them takes longer than applying them.
    """
    weights = torch.eye(old)
    for _ in range(halves):
        half = max(1, len(weights) // 2)
        weights = weights[: 2 * half].unflatten(0, (half, -1)).mean(1)
    last = resampling(torch.zeros(1), torch.tensor([float(len(weights))]), new, len(weights), torch.tensor([False]))
    return (last[0] @ weights).to(device, dtype)


def boxes_of(distances: Tensor, scores: Tensor, shape: tuple[int, int]) -> Tensor:
    """A box and a score for each anchor, (B, 5, A) in single precision, from the head's (B, 64, A) and (B, A).

    `shape` is (height, width) of the letterboxed pictures. Distances to the four sides are the means of their
    distributions.
    """
    centres, strides = _anchors(shape, distances.device)
    parts = distances.float().unflatten(1, (4, BINS)).softmax(2)
    sides = torch.einsum("bska,k->bsa", parts, torch.arange(BINS, device=parts.device, dtype=parts.dtype)) * strides
    return torch.cat((centres.T - sides[:, :2], centres.T + sides[:, 2:], scores.float()[:, None]), 1)


@lru_cache(32)
def _anchors(shape: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    centres, strides = anchors(shape)
    return torch.from_numpy(centres).to(device), torch.from_numpy(strides).to(device)


def cropped(picture: Tensor, squares: Tensor) -> Tensor:
    """The faces (N, 48, 48), grey bytes, of one picture (H, W, 3); `squares` (N, 3) as `face_square` gives them."""
    grey = picture.float() @ torch.tensor(LUMA, device=picture.device)
    left, top, side = squares.to(picture.device, torch.float32).T
    height, width = grey.shape
    area = side > FACE_SIZE
    rows = resampling(top, side, FACE_SIZE, height, area=area)
    columns = resampling(left, side, FACE_SIZE, width, area=area)
    faces = (rows.flatten(0, 1) @ grey).unflatten(0, (-1, FACE_SIZE)) @ columns.mT
    return faces.round().clamp(0, 255).byte()


def resampling(start: Tensor, side: Tensor, count: int, length: int, area: Tensor) -> Tensor:
    """Resampling weights of `count` new pixels over `length` old ones: (N, count, length), rows summing to 1.

    The new pixels divide the `side` pixels from `start` on equally. Where `area` (N,) is true, a new pixel is the mean
    of its part, otherwise the linear interpolation at the part's middle. The edge pixel is repeated beyond the ends.
    """
    start, part = start[:, None, None], (side / count)[:, None, None]
    new = torch.arange(count, device=start.device)[:, None]
    old = torch.arange(length, device=start.device)
    low, high = start + new * part, start + (new + 1) * part
    # The first and the last old pixel extend without limit: the edge is repeated.
    begin = torch.where(old == 0, low, old.to(low))
    end = torch.where(old == length - 1, high, (old + 1).to(low))
    means = (torch.minimum(high, end) - torch.maximum(low, begin)).clamp(min=0) / part
    last = start + side[:, None, None] - 1
    middle = torch.minimum(torch.maximum((low + high - 1) / 2, start), last).clamp(0, length - 1)
    between = (1 - (middle - old).abs()).clamp(min=0)
    return torch.where(area[:, None, None], means, between)
