"""Writes the annotations of one video in a format."""

from typing import IO

from sqlalchemy.orm import Session

from results.read.annotations.boris import write_boris
from results.read.annotations.eaf import eaf
from results.read.annotations.textgrid import textgrid
from results.read.annotations.tiers import annotated
from results.read.face_filter import FaceFilter
from results.tables import Media


def write_annotations(session: Session, medium: Media, style: str, target: IO[bytes], face_filter: FaceFilter) -> None:
    """Writes the tracks and markers of a video as `eaf`, `textgrid` or `boris`.

    Raises:
        TimelineError: there is too much for the format.
        OSError: the file cannot be written.
    """
    video = annotated(session, medium, face_filter)
    if style == "boris":
        write_boris(video, target)
    else:
        target.write(eaf(video) if style == "eaf" else textgrid(video).encode())
