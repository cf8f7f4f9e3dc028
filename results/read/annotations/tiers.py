"""What a file of annotations holds: for each track the spans of its dominant emotion, and the markers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from sqlalchemy.orm import Session

from results.markers import markers_of
from results.read.face_filter import FaceFilter
from results.read.subtitles import Span, spans
from results.tables import Media

SUFFIXES = {"eaf": ".eaf", "textgrid": ".TextGrid", "boris": ".xlsx"}
"""The formats, and the suffix that their programs expect."""


class Mark(NamedTuple):
    """A moment, or the interval [time_ms, until_ms), that a person marked."""

    time_ms: int
    until_ms: int | None
    label: str
    note: str = ""

    @property
    def text(self) -> str:
        """Label and note in one line."""
        return f"{self.label}: {self.note}" if self.note else self.label


@dataclass(frozen=True, slots=True)
class Annotated:
    """A video of `length_ms` milliseconds; the spans of a track follow each other without overlap."""

    uri: str
    length_ms: int
    tracks: dict[int, list[Span]]
    marks: Sequence[Mark] = ()


def annotated(session: Session, medium: Media, face_filter: FaceFilter) -> Annotated:
    """The annotations of one video; memory grows with the number of changes only."""
    found = sorted(spans(session, medium.job_id, medium.id, face_filter), key=lambda span: (span.track_id, *span))
    tracks = {track: list(part) for track, part in groupby(found, lambda span: span.track_id)}
    marks = [Mark(row.time_ms, row.until_ms, row.label, row.note or "") for row in markers_of(session, medium.id)]
    ends = (*(span.end_ms for span in found), *(mark.until_ms or mark.time_ms for mark in marks))
    return Annotated(medium.uri, max(medium.duration_ms or 0, *ends, 1), tracks, marks)


def layers(marks: Iterable[Mark]) -> list[list[Mark]]:
    """Markers of intervals in as few tiers as possible; in none of them two overlap."""
    found: list[list[Mark]] = []
    for mark in sorted(mark for mark in marks if mark.until_ms is not None):
        free = (layer for layer in found if (layer[-1].until_ms or 0) <= mark.time_ms)
        if (layer := next(free, None)) is None:
            found.append(layer := [])
        layer.append(mark)
    return found
