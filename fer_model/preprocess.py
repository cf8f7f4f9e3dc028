"""From a picture and a box to the classifier's input. Training and inference share this code."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_model.types import Image

FACE_SIZE = 48
"""Side of a face crop in pixels, FER-2013's own (Goodfellow et al., 2013)."""

PIXEL_MEAN = 0.5077
PIXEL_STD = 0.2550
"""Mean and standard deviation of FER-2013's 28,709 training pictures, pixels scaled to 0..1."""


def normalise(grey: Any) -> Any:
    """Grey pixels 0..255 to zero mean and unit spread; any array or tensor of floats keeps its shape."""
    return (grey / 255.0 - PIXEL_MEAN) / PIXEL_STD


def face_square(box: NDArray[np.float32], margin: float) -> tuple[int, int, int]:
    """Left, top and side in whole pixels of the square around a box (x1, y1, x2, y2, ...).

    The side is the box's longer side, widened by `margin` (0.1 = ten per cent more); it may
    reach beyond the picture.
    """
    x1, y1, x2, y2 = (float(value) for value in box[:4])
    side = max(1, round(max(x2 - x1, y2 - y1) * (1 + margin)))
    return round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2), side


def crop_faces(images: Sequence[Image], boxes: Sequence[NDArray[np.float32]], margin: float) -> NDArray[np.uint8]:
    """The faces (N, 48, 48) of all pictures, one after the other; `boxes` has an array (n, 4+) for each picture."""
    faces = [crop_face(image, box, margin) for image, found in zip(images, boxes, strict=True) for box in found]
    return np.stack(faces) if faces else np.zeros((0, FACE_SIZE, FACE_SIZE), np.uint8)


def crop_face(image: Image, box: NDArray[np.float32], margin: float) -> NDArray[np.uint8]:
    """One face as the classifier's input: (48, 48) grey, 0..255.

    Where the square reaches beyond the picture, its edge is repeated. Shrinking averages areas, so that a large face
    does not alias; enlarging is bilinear.
    """
    left, top, side = face_square(box, margin)
    height, width = image.shape[:2]
    x1, y1 = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    x2, y2 = max(min(left + side, width), x1 + 1), max(min(top + side, height), y1 + 1)
    grey = cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_RGB2GRAY)
    above, below, before, after = (max(0, pad) for pad in (y1 - top, top + side - y2, x1 - left, left + side - x2))
    if above or below or before or after:
        grey = cv2.copyMakeBorder(grey, above, below, before, after, cv2.BORDER_REPLICATE)
    shrink = cv2.INTER_AREA if side > FACE_SIZE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, (FACE_SIZE, FACE_SIZE), interpolation=shrink), np.uint8)
