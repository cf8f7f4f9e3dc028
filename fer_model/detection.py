"""What happens around the detector network: letterbox before it, boxes after it. The same for every engine."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_model.types import Image

LONG_SIDE = 640
"""The picture's longer side as the detector sees it, in pixels."""

SHAPE_STEP = 128
"""Both sides of the input are multiples of this: 16:9 fits 640x384 exactly, and five shapes serve all pictures."""

STRIDES = (8, 16, 32)
IOU_THRESHOLD = 0.5
MAX_FACES = 1000
PADDING_GREY = 114

Detections = NDArray[np.float32]
"""(N, 5): x1, y1, x2, y2 in pixels, score 0..1; best first."""


def letterbox(image: Image) -> tuple[Image, float]:
    """The picture scaled to `LONG_SIDE` and padded right and below with grey; and the scale that was used."""
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != (width, height):
        shrink = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, size, interpolation=shrink), np.uint8)
    right, below = (-side % SHAPE_STEP for side in size)
    if right or below:
        grey = (PADDING_GREY,) * 3
        image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=grey), np.uint8)
    return np.ascontiguousarray(image), scale


def decode_boxes(
    distances: NDArray[np.float32], scores: NDArray[np.float32], shape: tuple[int, int], threshold: float
) -> Detections:
    """Faces from the raw head of an anchor-free YOLO (Ultralytics YOLOv8).

    Takes for each anchor four discrete distributions of the distance to a side, as logits
    (4 * bins, A), and one score 0..1 (A,); `shape` is the input's (height, width). Boxes are
    computed only for anchors at or over the threshold, then overlapping ones are suppressed.
    """
    chosen = np.flatnonzero(scores >= threshold)
    if not chosen.size:
        return np.zeros((0, 5), np.float32)
    centres, strides = (part[chosen] for part in _anchors(shape))
    logits = distances[:, chosen].reshape(4, -1, chosen.size).astype(np.float32)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    bins = np.arange(logits.shape[1], dtype=np.float32)
    sides = np.einsum("sba,b->sa", weights / weights.sum(axis=1, keepdims=True), bins).T
    corners = np.concatenate((centres - sides[:, :2], centres + sides[:, 2:]), axis=1) * strides[:, None]
    return _suppress(corners, scores[chosen].astype(np.float32))


def to_picture(found: Detections, scale: float, width: int, height: int) -> Detections:
    """Boxes of the letterboxed picture in pixels of the original, clipped to it."""
    found = found.copy()
    found[:, :4] /= scale
    found[:, 0:4:2] = found[:, 0:4:2].clip(0, width)
    found[:, 1:4:2] = found[:, 1:4:2].clip(0, height)
    return found[(found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1])]


def _suppress(corners: NDArray[np.float32], scores: NDArray[np.float32]) -> Detections:
    sizes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)
    kept = np.asarray(cv2.dnn.NMSBoxes(sizes.tolist(), scores.tolist(), 0.0, IOU_THRESHOLD), np.intp).ravel()
    return np.concatenate((corners[kept], scores[kept, None]), axis=1)[:MAX_FACES]


@cache
def _anchors(shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres (A, 2) in units of their stride, and strides (A,), in the order of the head's output."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[0 : shape[0] // stride, 0 : shape[1] // stride].astype(np.float32) + 0.5
        centres.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full(x.size, stride, np.float32))
    return np.concatenate(centres), np.concatenate(strides)
