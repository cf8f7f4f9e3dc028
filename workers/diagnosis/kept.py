"""How many faces of one analysis of a video another analysis of it has too."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.boxes import iou
from results.database import reading
from results.tables import Face, Media

LEAST_OVERLAP = 0.5
"""The least intersection over union at which two boxes are the same face."""

Boxes = Mapping[int, NDArray[np.float32]]
"""The boxes (N, 4) of each frame with a face, keyed by the frame's index."""


def faces_kept(expected: Boxes, found: Boxes) -> float:
    """The share, 0..1, of the expected faces that a found one of the same frame overlaps; 1 if none is expected."""
    pairs = [(boxes, found[frame]) for frame, boxes in expected.items() if frame in found]
    kept = sum(int((iou(*pair).max(axis=1) >= LEAST_OVERLAP).sum()) for pair in pairs)
    return kept / total if (total := sum(map(len, expected.values()))) else 1.0


def boxes_of(database: Database, job_id: str) -> Boxes:
    """The boxes of a job of one video."""
    box = (Face.frame_index, Face.x1, Face.y1, Face.x2, Face.y2)
    boxes: dict[int, list[tuple[float, ...]]] = {}
    with reading(database) as session:
        for frame, *corners in session.execute(select(*box).join(Media).where(Media.job_id == job_id)):
            boxes.setdefault(frame, []).append(tuple(corners))
    return {frame: np.array(each, np.float32) for frame, each in boxes.items()}
