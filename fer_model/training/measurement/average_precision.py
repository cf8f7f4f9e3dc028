"""Average precision of a face detector at one IoU threshold, ignoring small faces."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_model.boxes import iou

Boxes = NDArray[np.float32]


OVERLAP = 0.5
"""The least intersection over union of a hit."""


def average_precision(found: Sequence[Boxes], truth: Sequence[Boxes], least_height: float = 10.0) -> float:
    """Area under the precision-recall curve, 0..1 (all-point interpolation, as PASCAL VOC 2010 has it).

    `found` holds per picture (N, 5) boxes with scores, `truth` (M, 4) boxes. A face lower than
    `least_height` pixels is neither hit nor miss: boxes that match it, and unmatched boxes that are
    lower, are ignored (COCO's rule for its size ranges).
    """
    outcomes: list[tuple[float, bool]] = []
    faces = 0
    for boxes, faces_here in zip(found, truth, strict=True):
        counts = faces_here[:, 3] - faces_here[:, 1] >= least_height
        faces += int(counts.sum())
        outcomes += _outcomes(boxes[np.argsort(-boxes[:, 4])], faces_here, counts, least_height)
    hits = np.array([hit for _, hit in sorted(outcomes, key=lambda pair: -pair[0])], bool)
    recall = np.cumsum(hits) / max(1, faces)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _outcomes(boxes: Boxes, truth: Boxes, counts: NDArray[np.bool_], least_height: float) -> list[tuple[float, bool]]:
    """Score and hit of each box that counts, best first; every face is matched at most once."""
    shared = iou(boxes, truth)
    free = np.ones(len(truth), bool)
    outcomes = []
    for box, row in zip(boxes, shared, strict=True):
        candidates = np.flatnonzero(free & (row >= OVERLAP))
        # A counted face is preferred to an ignored one, then the larger IoU.
        best = max(candidates, key=lambda face: (counts[face], row[face]), default=None)
        if best is not None:
            free[best] = False
            if counts[best]:
                outcomes.append((float(box[4]), True))
        elif box[3] - box[1] >= least_height:
            outcomes.append((float(box[4]), False))
    return outcomes
