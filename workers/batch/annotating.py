"""Media once more, with what was found drawn into them, or with their faces hidden."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from sqlalchemy.orm import Session

from fer_model.atomic import write_atomically
from fer_model.errors import UnreadableMediaError
from fer_model.rendering.anonymise import How, hide
from fer_model.rendering.drawing import annotate
from fer_model.rendering.trajectories import Trajectories, trajectories_of
from fer_model.rendering.transcode import transcode_video
from fer_model.sources.images import read_picture
from fer_model.types import Image
from results.media import readable_media
from results.read.face_filter import FaceFilter
from results.read.faces import face_rows, step_ms
from results.tables import Media

HIDDEN_MS = 500
"""So long before its first and after its last detection a face is hidden: it may be there and not be found yet."""


NOT_ALL = "not all of it has been looked at, so a face could stay visible; it is left out"


@dataclass(frozen=True, slots=True)
class Annotated:
    """A medium's new file, or why there is none."""

    uri: str
    path: Path | None
    error: str | None = None


def annotate_job(
    session: Session,
    job_id: str,
    folder: Path,
    *,
    face_filter: FaceFilter,
    anonymise: How | None,
    roots: Sequence[str],
    name: Callable[[Media], str],
    on_frame: Callable[[int], None] = lambda frames: None,
) -> Iterator[Annotated]:
    """Writes the media of a job that could be read into `folder`; a medium that fails does not stop the others.

    `face_filter` says which faces get a box, and over how long their labels are smoothed. With `anonymise` all faces
    are hidden, those it leaves out too, also between the frames that were looked at; a medium that was not looked at
    to its end is left out, with that as its error. `name` gives a file's name without its ending. Raises `OSError` if
    a file cannot be written.
    """
    for medium in readable_media(session, job_id):
        if anonymise and (medium.state != "done" or medium.error):
            yield Annotated(medium.uri, None, f"{medium.uri}: {NOT_ALL}")
            continue
        drawn = drawing(session, medium, face_filter, anonymise)
        stem = folder / name(medium)
        try:
            if medium.kind == "image":
                path = _write_picture(stem, drawn(0, lambda: read_picture(medium.uri, roots)))  # noqa: B023
                on_frame(1)
            else:
                path = transcode_video(medium.uri, stem, drawn, roots=roots, on_frame=on_frame)
        except UnreadableMediaError as error:
            yield Annotated(medium.uri, None, str(error))
        else:
            yield Annotated(medium.uri, path)


def drawing(
    session: Session, medium: Media, face_filter: FaceFilter, anonymise: How | None
) -> Callable[[int, Callable[[], Image]], Image | None]:
    """What is done to each picture of a medium, by its time."""
    step = step_ms(session, medium.id)

    def paths(chosen: FaceFilter, hold_ms: int) -> Trajectories:
        return Trajectories(trajectories_of(face_rows(session, medium.job_id, medium.id, chosen)), hold_ms)

    # A frame that was not looked at is closer to one that was than half the distance between two of these.
    shown = paths(face_filter, step // 2 if medium.kind == "video" else 0)
    hidden = paths(FaceFilter(), max(HIDDEN_MS, step)) if anonymise else None

    def change(time_ms: int, image: Callable[[], Image]) -> Image | None:
        faces, concealed = shown.at(time_ms), hidden.at(time_ms) if hidden else []
        if not faces and not concealed:
            return None if medium.kind == "video" else image()
        picture = image()
        if anonymise:
            picture = np.ascontiguousarray(picture).copy()
            hide(picture, [face.box for face in concealed], anonymise)
        return annotate(picture, faces, bars=True)

    return change


def _write_picture(stem: Path, image: Image | None) -> Path:
    assert image is not None
    path = stem.with_name(stem.name + ".jpg")
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    write_atomically(path, encoded.tobytes())
    return path
