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
from fer_model.rendering.transcode import Change, transcode_video
from fer_model.sources.images import read_picture
from fer_model.sources.index import index_video
from fer_model.sources.sampling import Sampling, chooser
from fer_model.sources.segments import sampled
from fer_model.types import Image
from results.jobs import options_of
from results.read.face_filter import FaceFilter
from results.read.faces import face_rows, looked_at, step_ms
from results.read.naming import stream_of
from results.read.parts import Part, media_of_part
from results.tables import Media
from workers.batch.coverage import NOT_ALL, Coverage
from workers.batch.planning import BatchOptions
from workers.batch.sources import submitted
from workers.errors import StreamPicturesError

HIDDEN_MS = 500
"""So long before its first and after its last detection a face is hidden: it may be there and not be found yet."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """A medium's new file, or why there is none; `notes` are sentences about what the file lacks."""

    uri: str
    path: Path | None
    error: str | None = None
    notes: tuple[str, ...] = ()


def annotate_job(
    session: Session,
    job_id: str,
    folder: Path,
    *,
    face_filter: FaceFilter,
    anonymise: How | None,
    roots: Sequence[str],
    name: Callable[[Media], str],
    mode: int | None = None,
    on_frame: Callable[[int], None] = lambda frames: None,
) -> Iterator[Annotated]:
    """Writes the media of a job that could be read into `folder`; a medium that fails does not stop the others.

    `face_filter` sets which faces get a box, and over how long their labels are smoothed. With `anonymise` all faces
    are hidden, those it leaves out too, also between the frames that were looked at; a medium is left out, with that as
    its error, unless every frame that is written was looked at or lies between two that were. `name` gives a file's
    name without its ending, `mode` the permissions of the files. Raises `OSError` if a file cannot be written, and
    `StreamPicturesError` for a stream.
    """
    if (stream := stream_of(session, job_id)) is not None:
        raise StreamPicturesError(
            f"'{stream}' is a stream: its pictures are not stored, so nothing can be drawn into them; "
            f"`fer-batch timeline {stream}` and `fer-batch export {stream}` have its results."
        )
    options = BatchOptions.of(options_of(session, job_id))
    for medium in media_of_part(session, Part(job_id)):
        notes: list[str] = []
        try:
            cover = coverage(session, medium, options, roots) if anonymise else None
            if cover and (medium.state != "done" or not cover.known):
                raise UnreadableMediaError(f"{medium.uri}: {NOT_ALL}")
            change = drawing(session, medium, face_filter, anonymise, cover)
            path = _write(medium, folder / name(medium), change, cover, roots, mode, on_frame, notes.append)
        except UnreadableMediaError as error:
            yield Annotated(medium.uri, None, str(error))
        else:
            yield Annotated(medium.uri, path, notes=tuple(notes))


def coverage(session: Session, medium: Media, options: BatchOptions, roots: Sequence[str]) -> Coverage:
    """The frames of a medium that were looked at, to be held against those that are written.

    Raises `UnreadableMediaError` if which these are depends on the file, and that cannot be read.
    """
    sampling = options.sampling if medium.kind == "video" else Sampling()
    known = looked_at(session, medium.id)
    if not sampling.nearest:
        return Coverage(medium.uri, known, chooser(sampling))
    index = index_video(medium.address, roots, expected=submitted(medium))
    places = {place for place, _ in sampled(index, sampling)}
    return Coverage(medium.uri, known, lambda place, _: place in places)


def _write(
    medium: Media,
    stem: Path,
    change: Change,
    cover: Coverage | None,
    roots: Sequence[str],
    mode: int | None,
    on_frame: Callable[[int], None],
    on_note: Callable[[str], None],
) -> Path:
    if medium.kind == "image":
        path = _write_picture(stem, change(0, 0, lambda: read_picture(medium.address, roots, submitted(medium))), mode)
        on_frame(1)
        return path
    on_end = cover.check_end if cover else lambda: None
    return transcode_video(
        medium.address,
        stem,
        change,
        roots=roots,
        expected=submitted(medium),
        mode=mode,
        on_frame=on_frame,
        on_note=on_note,
        on_end=on_end,
    )


def drawing(
    session: Session, medium: Media, face_filter: FaceFilter, anonymise: How | None, cover: Coverage | None
) -> Change:
    """What is done to each picture of a medium, by its place and time; `cover` is needed to anonymise."""
    if anonymise and cover is None:
        raise ValueError("to anonymise, the frames that were looked at must be known")
    step = step_ms(session, medium.id)

    def paths(chosen: FaceFilter, hold_ms: int, places: list[int] | None = None) -> Trajectories:
        rows = trajectories_of(face_rows(session, medium.job_id, medium.id, chosen))
        return Trajectories(rows, hold_ms, None if places is None else np.array(places, np.int64))

    # A frame that was not looked at is closer to one that was than half the distance between two of these.
    shown = paths(face_filter, step // 2 if medium.kind == "video" else 0)
    hidden = paths(FaceFilter(), max(HIDDEN_MS, step), [place for place, _ in cover.known]) if cover else None

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


def _write_picture(stem: Path, image: Image | None, mode: int | None) -> Path:
    assert image is not None
    path = stem.with_name(stem.name + ".jpg")
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    write_atomically(path, encoded.tobytes(), mode)
    return path
