"""Filtering a job's faces, and smoothing their probabilities over time; both in SQL."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

from sqlalchemy import ColumnElement, Double, Integer, Select, Subquery, case, cast, func, select

from results.emotions import EMOTIONS, dominant, strongest
from results.errors import TimelineError
from results.tables import Face, Media

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


def media_ids(job_id: str) -> Select[int]:
    """The ids of a job's media."""
    return select(Media.id).where(Media.job_id == job_id)


def filtered_faces(job_id: str, face_filter: FaceFilter, media_id: int | None = None) -> Subquery:
    """The filtered and smoothed faces of a job, or of one of its media, with the columns of `faces`."""
    columns = Face.__table__.c
    wanted = Face.media_id.in_(media_ids(job_id)) if media_id is None else Face.media_id == media_id
    chosen = select(*columns).where(wanted)
    if face_filter.min_confidence > 0:
        chosen = chosen.where(Face.confidence >= face_filter.min_confidence)
    if face_filter.min_quality > 0:
        chosen = chosen.where(Face.quality >= face_filter.min_quality)
    faces = chosen.subquery("chosen")
    return _smoothed(faces, round(face_filter.smooth_s * 500)) if face_filter.smooth_s else faces


def _smoothed(faces: Subquery, half_ms: int) -> Subquery:
    means = select(*(_mean(faces, column.name, half_ms) for column in faces.c)).subquery("means")
    values = [means.c[name] for name in EMOTIONS]
    derived: dict[str, ColumnElement[Any]] = {"emotion": dominant(values), "confidence": strongest(values)}
    return select(*(derived.get(column.name, column).label(column.name) for column in means.c)).subquery("smoothed")


def _mean(faces: Subquery, name: str, half_ms: int) -> Any:
    if name not in EMOTIONS:
        return faces.c[name]
    track = (faces.c.media_id, faces.c.track_id)
    around: dict[str, Any] = {"partition_by": track, "order_by": faces.c.time_ms, "range_": (-half_ms, half_ms)}
    # PostgreSQL updates a sum of integers as the window moves, but sums floats anew for each window.
    total = func.sum(cast(func.round(faces.c[name] * UNITS), Integer)).over(**around)
    mean = cast(total, Double) / UNITS / func.count().over(**around)
    return case((faces.c.track_id.is_(None), faces.c[name]), else_=mean).label(name)
