"""Media once more, with what was found drawn into them, or with their faces hidden."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from fer_model.atomic import write_atomically
from fer_model.errors import UnreadableMediaError
from fer_model.rendering.anonymise import How, hide
from fer_model.rendering.drawing import annotate
from fer_model.rendering.trajectories import Trajectories, trajectories_of
from fer_model.rendering.transcode import Change, transcode_video
from fer_model.sources.images import read_picture
from fer_model.sources.sampling import Sampling, chooser
from fer_model.types import Image
from results.jobs import options_of
from results.read.face_filter import FaceFilter
from results.read.faces import face_rows, looked_at, step_ms
from results.tables import Media
from workers.batch.planning import BatchOptions
from workers.settings import media_roots

HIDDEN_MS = 500
"""So long before its first and after its last detection a face is hidden: it may be there and not be found yet."""


NOT_ALL = "not all of it has been looked at, so a face could stay visible; it is left out"


@dataclass(frozen=True, slots=True)
class Annotated:
    """A medium's new file, or why there is none; `notes` are sentences about what the file lacks."""

    uri: str
    path: Path | None
    error: str | None = None
    notes: tuple[str, ...] = ()


@dataclass
class Coverage:
    """Whether every frame that is written was looked at, or lies between two that were, by their places.

    `known` are index and time of the frames that were looked at; `keeps` is the sampling that chose them.
    """

    uri: str
    known: list[tuple[int, int]]
    keeps: Callable[[int, int], bool]
    count: int = 0

    def check(self, place: int, time_ms: int) -> None:
        """Raises `UnreadableMediaError` for a frame that should have been looked at and was not."""
        if self.keeps(place, time_ms):
            if self.count == len(self.known) or self.known[self.count] != (place, time_ms):
                raise UnreadableMediaError(f"{self.uri}: {NOT_ALL}")
            self.count += 1

    def check_end(self) -> None:
        """Raises `UnreadableMediaError` unless as many were written as were looked at."""
        if self.count != len(self.known) or not self.count:
            raise UnreadableMediaError(f"{self.uri}: {NOT_ALL}")


def annotate_job(
    session: Session,
    job_id: str,
    folder: Path,
    *,
    face_filter: FaceFilter,
    anonymise: How | None,
    name: Callable[[Media], str],
    on_frame: Callable[[int], None] = lambda frames: None,
) -> Iterator[Annotated]:
    """Writes the media of a job that could be read into `folder`; a medium that fails does not stop the others.

    `face_filter` says which faces get a box, and over how long their labels are smoothed. With `anonymise` all faces
    are hidden, whatever `face_filter` says, also between the frames that were looked at; a medium is left out, with
    that as its error, unless every frame that is written is known to have been looked at or to lie between two that
    were. `name` gives a file's name without its ending. Raises `OSError` if a file cannot be written.
    """
    options = BatchOptions.of(options_of(session, job_id))
    wanted = select(Media).where(Media.job_id == job_id, Media.state != "failed").order_by(Media.position)
    for medium in session.scalars(wanted).all():
        sampling = options.sampling if medium.kind == "video" else Sampling()
        cover = Coverage(medium.uri, looked_at(session, medium.id), chooser(sampling)) if anonymise else None
        if cover and (medium.state != "done" or not cover.known):
            yield Annotated(medium.uri, None, f"{medium.uri}: {NOT_ALL}")
            continue
        change = drawing(session, medium, face_filter, anonymise, cover)
        notes: list[str] = []
        try:
            path = _write(medium, folder / name(medium), change, cover, on_frame, notes.append)
        except UnreadableMediaError as error:
            yield Annotated(medium.uri, None, str(error))
        else:
            yield Annotated(medium.uri, path, notes=tuple(notes))


def _write(
    medium: Media,
    stem: Path,
    change: Change,
    cover: Coverage | None,
    on_frame: Callable[[int], None],
    on_note: Callable[[str], None],
) -> Path:
    if medium.kind == "image":
        path = _write_picture(stem, change(0, 0, lambda: read_picture(medium.uri, media_roots())))
        on_frame(1)
        return path
    on_end = cover.check_end if cover else lambda: None
    given = {"roots": media_roots(), "on_frame": on_frame, "on_note": on_note, "on_end": on_end}
    return transcode_video(medium.uri, stem, change, **given)


def drawing(
    session: Session,
    medium: Media,
    face_filter: FaceFilter,
    anonymise: How | None,
    cover: Coverage | None = None,
) -> Change:
    """What is done to each picture of a medium, by its place and time."""
    step = step_ms(session, medium.id)

    def paths(chosen: FaceFilter, hold_ms: int, places: list[int] | None = None) -> Trajectories:
        rows = trajectories_of(face_rows(session, medium.job_id, medium.id, chosen))
        return Trajectories(rows, hold_ms, None if places is None else np.array(places, np.int64))

    # A frame that was not looked at is closer to one that was than half the distance between two of these.
    shown = paths(face_filter, step // 2 if medium.kind == "video" else 0)
    hidden = paths(FaceFilter(), HIDDEN_MS, [place for place, _ in cover.known]) if anonymise and cover else None

    def change(place: int, time_ms: int, image: Callable[[], Image]) -> Image | None:
        if cover:
            cover.check(place, time_ms)
        faces, concealed = shown.at(place, time_ms), hidden.at(place, time_ms) if hidden else []
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
