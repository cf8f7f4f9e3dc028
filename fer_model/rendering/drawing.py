"""Draws boxes, labels and bars into a picture."""

from collections.abc import Sequence

import cv2
import numpy as np

from fer_model.rendering.palette import COLOURS
from fer_model.types import EMOTIONS, FaceObservation, Image


def annotate(image: Image, faces: Sequence[FaceObservation], *, bars: bool = False) -> Image:
    """A copy of the picture with a box and a label (track, emotion, confidence) for each face.

    With `bars` a small chart beside the box shows its seven probabilities, in the order of `EMOTIONS`.
    """
    picture = np.ascontiguousarray(image).copy()
    line = max(2, round(max(picture.shape[:2]) / 480))
    scale = max(0.4, max(picture.shape[:2]) / 1800)
    for face in faces:
        colour = COLOURS[face.emotion]
        x1, y1, x2, y2 = (round(value) for value in face.box)
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, line)
        if bars:
            _bars(picture, face, (x1, y1, x2, y2), line, scale)
        track = "" if face.track_id is None else f"#{face.track_id} "
        _label(picture, f"{track}{face.emotion} {face.confidence:.0%}", x1, y1, colour, scale)
    return picture


def _bars(picture: Image, face: FaceObservation, box: tuple[int, int, int, int], line: int, scale: float) -> None:
    """A bar for each emotion on a dark ground, at the right of the box where there is room, else at its left."""
    x1, y1, x2, _ = box
    row, width = max(5, round(13 * scale)), round(100 * scale)
    left = x2 + line + 1 if x2 + line + 1 + width <= picture.shape[1] else x1 - line - 1 - width
    left = min(max(left, 0), max(picture.shape[1] - width, 0))
    top = min(max(y1, 0), max(picture.shape[0] - row * len(EMOTIONS) - 2, 0))
    ground = picture[top : top + row * len(EMOTIONS) + 2, left : left + width]
    ground[:] = ground // 3
    for number, (name, probability) in enumerate(zip(EMOTIONS, face.probabilities, strict=True)):
        start = (left + 1, top + 1 + number * row)
        end = (left + 1 + round(probability * (width - 3)), start[1] + row - 2)
        cv2.rectangle(picture, start, end, COLOURS[name], cv2.FILLED)


def _label(picture: Image, text: str, x: int, y: int, colour: tuple[int, int, int], scale: float) -> None:
    """Dark text on the box's colour, above the box where there is room, kept inside the picture."""
    thickness = max(1, round(scale * 1.6))
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    x = max(0, min(x, picture.shape[1] - width))
    y = max(y, height + baseline)
    cv2.rectangle(picture, (x, y - height - baseline), (x + width, y), colour, cv2.FILLED)
    cv2.putText(
        picture, text, (x, y - baseline // 2 - 1), cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), thickness, cv2.LINE_AA
    )
