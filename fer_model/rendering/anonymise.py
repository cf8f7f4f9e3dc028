"""Anonymises faces in a picture: neither people nor face detectors recognise them."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from fer_model.types import Box, Image

How = Literal["blur", "pixelate"]

MARGIN = 0.3
"""Margin hidden on each side, as a share of the box's longer side: hair, ears and chin identify a person too."""

CELLS = {"blur": 3, "pixelate": 4}
"""Values per side that remain of a hidden area; the rest cannot be reconstructed."""


def hide(image: Image, boxes: Sequence[Box], how: How) -> None:
    """Blurs or pixelates the boxes (x1, y1, x2, y2 in pixels) and their margins, in place."""
    for box in boxes:
        left, top, right, bottom = _around(box, image.shape[1], image.shape[0])
        if right > left and bottom > top:
            part = image[top:bottom, left:right]
            cells = CELLS[how]
            few = cv2.resize(part, (cells, cells), interpolation=cv2.INTER_AREA)
            grow = cv2.INTER_NEAREST if how == "pixelate" else cv2.INTER_LINEAR
            part[:] = np.asarray(cv2.resize(few, (right - left, bottom - top), interpolation=grow), np.uint8)


def _around(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = box
    pad = MARGIN * max(x2 - x1, y2 - y1)
    return max(0, int(x1 - pad)), max(0, int(y1 - pad)), min(width, round(x2 + pad)), min(height, round(y2 + pad))
