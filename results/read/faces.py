"""The faces of one medium by time, for drawing."""

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS
from results.read.face_filter import FaceFilter, filtered_faces
from results.tables import Frame

VALUES = ("x1", "y1", "x2", "y2", "detection_score", "quality", *EMOTIONS)
"""The values of a face row, in order."""


def face_rows(
    session: Session, job_id: str, media_id: int, face_filter: FaceFilter
) -> Iterator[tuple[int | None, int, Sequence[float]]]:
    """Track id (None without one), time in milliseconds, and `VALUES` of each filtered face, by time."""
    faces = filtered_faces(job_id, face_filter, media_id).c
    wanted = select(faces.track_id, faces.time_ms, *(func.coalesce(faces[name], 0.0) for name in VALUES))
    ordered = wanted.order_by(faces.time_ms, faces.frame_index, faces.face_index)
    for track_id, time_ms, *values in session.execute(ordered, execution_options={"yield_per": 10_000}):
        yield track_id, time_ms, values


def step_ms(session: Session, media_id: int, otherwise: int = 1000) -> int:
    """The mean distance of the processed frames of a medium in ms; `otherwise` if there are fewer than two."""
    columns = (func.count(), func.min(Frame.time_ms), func.max(Frame.time_ms))
    count, first, last = session.execute(select(*columns).where(Frame.media_id == media_id)).one()
    return max(1, round((last - first) / (count - 1))) if count > 1 else otherwise
