"""Overlap of boxes in a picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float32]:
    """Intersection over union (N, M), 0..1, of boxes (N, 4+) and (M, 4+), each x1, y1, x2, y2; 0 for empty ones."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:4], second[None, :, 2:4])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9), np.float32)
