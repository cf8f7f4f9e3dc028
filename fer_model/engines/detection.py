"""Pre- and postprocessing of the detector: letterbox, non-maximum suppression, boxes. The same for every engine."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_model.networks.architectures import STRIDES
from fer_model.types import Image

LONG_SIDE = 640
"""The picture's longer side as the detector sees it, in pixels."""

SHAPE_STEP = 128
"""Both sides of the input are multiples of this: 16:9 fits 640x384 exactly, and five shapes serve all pictures."""

IOU_THRESHOLD = 0.5
MAX_FACES = 1000
PADDING_GREY = 114

HALVED_ABOVE = 2 * LONG_SIDE
"""While a picture's longer side exceeds this, two by two pixels are averaged; what is left to do is bilinear. This is
several times faster than OpenCV's area averaging at a scale that is no fraction of whole numbers."""

Detections = NDArray[np.float32]
"""(N, 5): x1, y1, x2, y2 in pixels, score 0..1; best first."""


def letterbox_shape(height: int, width: int) -> tuple[int, int]:
    """Height and width of the letterboxed picture."""
    across, down, _ = scaled(height, width)
    return down + -down % SHAPE_STEP, across + -across % SHAPE_STEP


def letterbox(image: Image, into: Image | None = None) -> tuple[Image, float]:
    """The picture scaled to `LONG_SIDE` and padded right and below with grey; and the scale.

    Written into `into`, an array of the letterbox's shape, if given: allocating costs more than writing.
    """
    height, width = image.shape[:2]
    across, down, scale = scaled(height, width)
    boxed = np.empty((*letterbox_shape(height, width), 3), np.uint8) if into is None else into
    inside = boxed[:down, :across]
    if (across, down) == (width, height):
        inside[...] = image
    else:
        cv2.resize(halved(image), (across, down), dst=inside, interpolation=cv2.INTER_LINEAR)
    boxed[down:] = PADDING_GREY
    boxed[:down, across:] = PADDING_GREY
    return boxed, scale


def halved(image: Image) -> Image:
    """The picture as it is before bilinear resizing: see `HALVED_ABOVE`. An odd last row or column is left out."""
    for _ in range(halvings(*image.shape[:2])):
        height, width = (max(1, side // 2) for side in image.shape[:2])
        even = image[: 2 * height, : 2 * width]
        image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return image


def halvings(height: int, width: int) -> int:
    """How many times a picture is halved."""
    side, count = max(height, width), 0
    while side > HALVED_ABOVE:
        side, count = side // 2, count + 1
    return count


def scaled(height: int, width: int) -> tuple[int, int, float]:
    """Width and height in pixels of the picture in the letterbox, and the scale."""
    scale = LONG_SIDE / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale)), scale


def faces_among(boxes: NDArray[np.float32], threshold: float) -> Detections:
    """Non-maximum suppression: the boxes at or above the threshold that no better one overlaps, best first.

    `boxes` (5, A) has the rows x1, y1, x2, y2 and score.
    """
    chosen = boxes[:, np.flatnonzero(boxes[4] >= threshold)].T
    if not chosen.size:
        return np.zeros((0, 5), np.float32)
    sizes = np.concatenate((chosen[:, :2], chosen[:, 2:4] - chosen[:, :2]), axis=1)
    kept = np.asarray(cv2.dnn.NMSBoxes(sizes.tolist(), chosen[:, 4].tolist(), 0.0, IOU_THRESHOLD), np.intp).ravel()
    return chosen[kept[:MAX_FACES]]


def to_picture(found: Detections, scale: float, width: int, height: int) -> Detections:
    """Boxes of the letterboxed picture in pixels of the original, clipped to it."""
    found = found.copy()
    found[:, :4] /= scale
    found[:, 0:4:2] = found[:, 0:4:2].clip(0, width)
    found[:, 1:4:2] = found[:, 1:4:2].clip(0, height)
    return found[(found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1])]


@cache
def anchors(shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres (A, 2) in pixels of a letterboxed picture of (height, width), and strides (A,), in the head's order."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = (np.mgrid[0 : shape[0] // stride, 0 : shape[1] // stride].astype(np.float32) + 0.5) * stride
        centres.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full(x.size, stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)
