"""Filtering a job's faces, and smoothing their probabilities over time; both in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    FrameClause,
    FrameClauseType,
    Integer,
    Subquery,
    case,
    cast,
    func,
    literal,
    select,
)

from results.emotions import EMOTIONS, dominant, strongest
from results.errors import TimelineError
from results.read.parts import Part, faces_of
from results.tables import Face

MAX_SMOOTH_S = 60.0
UNITS = 100_000_000
"""Smoothed probabilities are computed in units of 1 / `UNITS`; a single one still fits into a 32-bit integer."""


@dataclass(frozen=True, slots=True)
class FaceFilter:
    """Leaves out faces below `min_confidence` or `min_quality` (0..1) and smooths over `smooth_s` seconds.

    Smoothing is the centred moving average of a track's seven probabilities: each face gets the mean over the faces of
    its track that lie at most half the width before or after it. It is symmetric in time, so it adds no delay: a
    lasting change stays within half the width of its place. Changes shorter than about half the width disappear.
    Faces without a track (photographs) are unchanged.

    Raises:
        TimelineError: a value is outside its range (`smooth_s`: 0, which is off, to `MAX_SMOOTH_S`).
    """

    min_confidence: float = 0.0
    min_quality: float = 0.0
    smooth_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_confidence", "min_quality"):
            if not 0 <= getattr(self, name) <= 1:
                raise TimelineError(f"{name} lies between 0 and 1, not at {getattr(self, name)}.")
        if not (isfinite(self.smooth_s) and 0 <= self.smooth_s <= MAX_SMOOTH_S):
            raise TimelineError(f"A timeline is smoothed over 0 to {MAX_SMOOTH_S:g} seconds, not {self.smooth_s:g}.")

    @property
    def leaves_out(self) -> bool:
        """Whether the filter may leave out faces."""
        return self.min_confidence > 0 or self.min_quality > 0


def filtered_faces(part: Part, face_filter: FaceFilter) -> Subquery:
    """The filtered and smoothed faces of a part of a job, with the columns of `faces`."""
    half_ms = round(face_filter.smooth_s * 500)
    # What lies around the part is smoothed into it.
    chosen = faces_of(part.wider(half_ms))
    if face_filter.min_confidence > 0:
        chosen = chosen.where(Face.confidence >= face_filter.min_confidence)
    if face_filter.min_quality > 0:
        chosen = chosen.where(Face.quality >= face_filter.min_quality)
    faces = chosen.subquery("chosen")
    return _smoothed(faces, part, half_ms) if face_filter.smooth_s else faces


def _smoothed(faces: Subquery, part: Part, half_ms: int) -> Subquery:
    # A track of a stream goes on in the next hour.
    track = [faces.c.track_id] if part.absolute else [faces.c.media_id, faces.c.track_id]
    means = select(*(_mean(faces, column.name, track, half_ms) for column in faces.c)).subquery("means")
    values = [means.c[name] for name in EMOTIONS]
    derived: dict[str, ColumnElement[Any]] = {"emotion": dominant(values), "confidence": strongest(values)}
    smoothed = select(*(derived.get(column.name, column).label(column.name) for column in means.c))
    return smoothed.where(*part.within(means.c.time_ms)).subquery("smoothed")


def _frame(half_ms: int) -> FrameClause:
    # Written into the statement: each parameter would be one of its own, and thus each window another, and the database
    # would pass over the faces fourteen times.
    half = literal(half_ms, literal_execute=True)
    return FrameClause(half, half, FrameClauseType.PRECEDING, FrameClauseType.FOLLOWING)


def _mean(faces: Subquery, name: str, track: Sequence[ColumnElement[Any]], half_ms: int) -> Any:
    if name not in EMOTIONS:
        return faces.c[name]
    around: dict[str, Any] = {"partition_by": track, "order_by": faces.c.time_ms, "range_": _frame(half_ms)}
    # PostgreSQL updates a sum of integers as the window moves, but sums floats anew for each window.
    total = func.sum(cast(func.round(faces.c[name] * UNITS), Integer)).over(**around)
    # `op`, since SQLAlchemy's own division would convert each divisor to NUMERIC, and PostgreSQL that back again.
    count = cast(func.count().over(**around) * UNITS, Double)
    mean: ColumnElement[float] = cast(total, Double).op("/", return_type=Double())(count)
    return case((faces.c.track_id.is_(None), faces.c[name]), else_=mean).label(name)
