"""Faces of the frames between two detected frames, by interpolation."""

from collections.abc import Callable

import numpy as np

from fer_model.analysis.matching import best_pairs
from fer_model.boxes import iou
from fer_model.engines.detection import Detections
from fer_model.types import Frame

LEAST_OVERLAP = 0.2
"""The least IoU (0..1) of one face's boxes in two detected frames. Where every fifth of 25 frames a second is detected,
a face falls below it by moving two thirds of its width in 0.2 s."""

Batch = list[tuple[Frame, bool]]
"""Frames in order, and whether faces are detected in each; in the last one they are."""


def interpolator() -> Callable[[Batch, list[Detections]], list[Detections]]:
    """A function that gives the faces of every frame of a source's next batch, from those of its detected frames.

    It remembers the last detected frame, so each source needs one of its own.
    """
    before: tuple[int, Detections] | None = None

    def fill(batch: Batch, detected: list[Detections]) -> list[Detections]:
        nonlocal before
        found: list[Detections] = []
        here = iter(detected)
        waiting: list[int] = []
        for frame, is_detected in batch:
            if not is_detected:
                waiting.append(frame.time_ms)
                continue
            faces = next(here)
            if before is not None and waiting:
                began, pairs = before[0], match_faces(before[1], faces)
                whole = max(1, frame.time_ms - began)
                found += [interpolate(pairs, (time_ms - began) / whole) for time_ms in waiting]
                waiting = []
            found.append(faces)
            before = frame.time_ms, faces
        return found

    return fill


def match_faces(before: Detections, after: Detections) -> tuple[Detections, Detections]:
    """Pairs of boxes in two frames that are one face: the row in each.

    The assignment with the largest sum of IoUs. It depends on the two frames alone, and so not
    on where a video is cut.
    """
    rows, columns = best_pairs(iou(before, after), LEAST_OVERLAP)
    return before[rows], after[columns]


def interpolate(pairs: tuple[Detections, Detections], part: float) -> Detections:
    """Boxes and scores between the two frames, by linear interpolation at `part` (0..1) of the way."""
    before, after = pairs
    found = ((1 - part) * before + part * after).astype(np.float32)
    return found[np.argsort(-found[:, 4], kind="stable")]
