"""Faces of frames that were not looked at, from the two frames around them that were."""

import numpy as np
from numpy.typing import NDArray

from fer_model.engines.detection import Detections

LEAST_OVERLAP = 0.2
"""Boxes that overlap less are not taken for the same face. At 25 frames a second and every fifth frame looked at a face
would have to cross two thirds of its own width in 0.2 s."""


def match_faces(before: Detections, after: Detections) -> tuple[Detections, Detections]:
    """The faces that are in both of two frames, row by row.

    Those pairs are chosen that overlap most in sum (the Hungarian method). Nothing but the two frames counts, so that
    it does not matter where a video is cut.
    """
    from scipy.optimize import linear_sum_assignment

    shared = overlaps(before, after)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    enough = shared[rows, columns] >= LEAST_OVERLAP
    return before[rows[enough]], after[columns[enough]]


def interpolate(pairs: tuple[Detections, Detections], part: float) -> Detections:
    """The faces in between: boxes and scores, the way from the one frame to the other (`part` 0..1) gone straight."""
    before, after = pairs
    found = ((1 - part) * before + part * after).astype(np.float32)
    return found[np.argsort(-found[:, 4], kind="stable")]


def overlaps(first: Detections, second: Detections) -> NDArray[np.float32]:
    """Intersection over union of the boxes (N, 4+) and (M, 4+): (N, M), 0..1."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:4], second[None, :, 2:4])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9), np.float32)
