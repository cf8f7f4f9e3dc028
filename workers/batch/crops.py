"""Face crops, kept only for jobs with `--keep-crops`."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_model.preprocess import face_square
from fer_model.types import FaceObservation, Frame

MARGIN = 0.2
"""The margin of the square around a face's box, as a fraction: enough to recognise face and context."""


def folder_of(options: dict[str, Any], job_id: str) -> Path | None:
    """The folder of a job's crops, by its options; None if it keeps none."""
    return Path(options["keep_crops"]) / job_id if options.get("keep_crops") else None


def keep(folder: Path, media_id: int, frame: Frame, faces: Sequence[FaceObservation]) -> None:
    """Writes a JPEG for each face: `MEDIA/FRAME-FACE.jpg`, numbered as the rows of `faces`. Raises `OSError`.

    Idempotent: the names are deterministic, so a second attempt at a shard overwrites the files of the first.
    """
    # Boxes are in pixels of the original; `frame.image` may be scaled down.
    across, down = (here / there for here, there in zip(frame.image.shape[1::-1], frame.size, strict=True))
    for number, face in enumerate(faces):
        path = folder / str(media_id) / f"{frame.index:08d}-{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        box = np.array(face.box, np.float32) * (across, down, across, down)
        left, top, side = face_square(box, MARGIN)
        part = frame.image[max(top, 0) : max(top + side, 1), max(left, 0) : max(left + side, 1)]
        _, encoded = cv2.imencode(".jpg", part[..., ::-1])
        path.write_bytes(encoded.tobytes())


def forget(folder: Path) -> None:
    """Deletes the crops of a job, if this machine has them. Raises `OSError`."""
    if folder.is_dir():
        shutil.rmtree(folder)
