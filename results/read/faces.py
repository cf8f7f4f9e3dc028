"""The faces of one medium frame by frame, as drawing and hiding them needs."""

from collections.abc import Iterator, Sequence
from math import ceil

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS
from results.read.face_filter import FaceFilter, filtered_faces
from results.read.parts import Part
from results.tables import Frame

VALUES = ("x1", "y1", "x2", "y2", "detection_score", "quality", *EMOTIONS)
"""The values of a sighting, in order."""


def face_rows(
    session: Session, job_id: str, media_id: int, face_filter: FaceFilter
) -> Iterator[tuple[int | None, int, int, Sequence[float]]]:
    """Track (None without one), frame index, time in milliseconds, and `VALUES` of each face that counts, in the order
    of frames.
    """
    faces = filtered_faces(Part(job_id, media_id), face_filter).c
    values = (func.coalesce(faces[name], 0.0) for name in VALUES)
    ordered = select(faces.track_id, faces.frame_index, faces.time_ms, *values).order_by(
        faces.frame_index, faces.face_index
    )
    for track_id, place, time_ms, *row in session.execute(ordered, execution_options={"yield_per": 10_000}):
        yield track_id, place, time_ms, row


def looked_at(session: Session, media_id: int) -> list[tuple[int, int]]:
    """Index and time in milliseconds of each frame of a medium that was looked at, in their order."""
    frames = select(Frame.frame_index, Frame.time_ms).where(Frame.media_id == media_id).order_by(Frame.frame_index)
    return [(place, time_ms) for place, time_ms in session.execute(frames)]


NICE_MS = (
    10, 20, 40, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_200_000,
)  # fmt: skip


def step_ms(session: Session, media_id: int, otherwise: int = 1000) -> int:
    """How far apart the frames of a medium are that were looked at, on average; `otherwise` if there are not two."""
    columns = (func.count(), func.min(Frame.time_ms), func.max(Frame.time_ms))
    count, first, last = session.execute(select(*columns).where(Frame.media_id == media_id)).one()
    return max(1, round((last - first) / (count - 1))) if count > 1 else otherwise


def nice_step_ms(session: Session, media_id: int, length_ms: int, steps: int) -> int:
    """A round step for a chart of `length_ms`: at most `steps` of them, none shorter than the pause between two frames
    that were looked at, else most steps would be gaps."""
    shortest = max(length_ms / steps, step_ms(session, media_id, 1))
    return next((nice for nice in NICE_MS if nice >= shortest), ceil(shortest))
