"""Face crops, kept only for jobs with `--keep-crops`."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from sqlalchemy import Engine as Database

from fer_model.atomic import create
from fer_model.preprocess import face_square
from fer_model.types import FaceObservation, Frame
from results.database import reading
from results.leases import Claim
from results.tables import Job
from workers.batch.crops_roots import folder_of
from workers.errors import CropsRefusedError, ForgedJobError

MARGIN = 0.2
"""The margin of the square around a face's box, as a fraction: enough to recognise face and context."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the crops of a job go, and their permissions."""

    folder: Path
    mode: int


def keep(kept: Kept, media_id: int, frame: Frame, faces: Sequence[FaceObservation]) -> None:
    """Writes a JPEG for each face: `MEDIA/FRAME-FACE.jpg`, numbered as the rows of `faces`. Raises `OSError`.

    Idempotent: the names are deterministic, so a second attempt at a shard overwrites the files of the first.
    """
    write(kept, media_id, frame.index, cut(frame, faces))


def cut(frame: Frame, faces: Sequence[FaceObservation]) -> list[bytes]:
    """A JPEG of each face."""
    # Boxes are in pixels of the original; `frame.image` may be scaled down.
    across, down = (here / there for here, there in zip(frame.image.shape[1::-1], frame.size, strict=True))
    jpegs = []
    for face in faces:
        box = np.array(face.box, np.float32) * (across, down, across, down)
        left, top, side = face_square(box, MARGIN)
        part = frame.image[max(top, 0) : max(top + side, 1), max(left, 0) : max(left + side, 1)]
        _, encoded = cv2.imencode(".jpg", part[..., ::-1])
        jpegs.append(encoded.tobytes())
    return jpegs


def write(kept: Kept, media_id: int, frame_index: int, jpegs: Sequence[bytes]) -> None:
    """As `keep`, with what `cut` gave."""
    folder = kept.folder / str(media_id)
    if jpegs:
        _make(folder, kept.mode)
    for number, jpeg in enumerate(jpegs):
        path = folder / f"{frame_index:08d}-{number:03d}.jpg"
        create(path, kept.mode)
        path.write_bytes(jpeg)


def _make(folder: Path, mode: int) -> None:
    """Makes the folders of a job and a medium; they may be entered by those who may read their files."""
    for each in (folder.parents[1], folder.parent, folder):
        if not each.is_dir():
            each.mkdir(parents=True, exist_ok=True)
            each.chmod(mode | (mode & 0o444) >> 2)


def forget(folder: Path) -> None:
    """Deletes the crops of a job, if this machine has them. Raises `OSError`."""
    if folder.is_dir():
        shutil.rmtree(folder)


def forget_of_deleted(database: Database, claim: Claim, roots: Sequence[str]) -> None:
    """Deletes crops written after the job was deleted: no row refers to them. Raises as `reading`, and `OSError`."""
    try:
        folder = folder_of(claim.options, claim.job_id, roots)
    except (CropsRefusedError, ForgedJobError):
        return
    if folder is None:
        return
    with reading(database) as session:
        if session.get(Job, claim.job_id) is None:
            forget(folder)
