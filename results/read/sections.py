"""A part of a video: its means in figures, and its faces frame by frame."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Double, case, cast, func, select
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS, means
from results.tables import Face, Frame


@dataclass(frozen=True, slots=True)
class Section:
    """The part [since_ms, until_ms) of a video: processed frames, and of its faces, or of one track's, the rest.

    `present` is the share of the frames with such a face, `time` each emotion's share of the faces that show it most,
    `means` are the mean probabilities; all lie in 0..1. Without faces the last four are None or empty.
    """

    since_ms: int
    until_ms: int
    frames: int
    faces: int
    present: float
    confidence: float | None
    quality: float | None
    means: dict[str, float]
    time: dict[str, float]


def section(session: Session, media_id: int, since_ms: int, until_ms: int, track_id: int | None = None) -> Section:
    """The figures of a part of a video, computed in the database from every face."""
    within = [Face.media_id == media_id, Face.time_ms >= since_ms, Face.time_ms < until_ms]
    within += [] if track_id is None else [Face.track_id == track_id]
    counts = [
        cast(func.avg(case((Face.emotion == name, 1), else_=0)), Double).label(f"time_{name}") for name in EMOTIONS
    ]
    figures = (
        func.count().label("faces"),
        func.count(Face.frame_index.distinct()).label("shown"),
        func.avg(Face.confidence).label("confidence"),
        func.avg(Face.quality).label("quality"),
    )
    row = session.execute(select(*figures, *means(Face.__table__.c), *counts).where(*within)).mappings().one()
    looked = (Frame.media_id == media_id, Frame.time_ms >= since_ms, Frame.time_ms < until_ms)
    frames = session.scalars(select(func.count()).select_from(Frame).where(*looked)).one()
    return Section(
        since_ms,
        until_ms,
        frames,
        row["faces"],
        row["shown"] / frames if frames else 0.0,
        row["confidence"],
        row["quality"],
        {name: row[name] for name in EMOTIONS if row["faces"]},
        {name: row[f"time_{name}"] for name in EMOTIONS if row["faces"]},
    )


def boxes(session: Session, media_id: int, since_ms: int, until_ms: int) -> list[tuple[int, list[tuple[Any, ...]]]]:
    """Each processed frame's time, and its faces: track, x1, y1, x2, y2 (pixels), emotion, confidence.

    They are in the order of time, which differs from that of indices where a clock was set back. It is for parts of
    some seconds.
    """
    looked = (Frame.media_id == media_id, Frame.time_ms >= since_ms, Frame.time_ms < until_ms)
    frames = select(Frame.frame_index, Frame.time_ms).where(*looked).order_by(Frame.time_ms, Frame.frame_index)
    found: dict[int, tuple[int, list[tuple[Any, ...]]]] = {n: (time_ms, []) for n, time_ms in session.execute(frames)}
    if found:
        shown = (Face.frame_index, Face.track_id, Face.x1, Face.y1, Face.x2, Face.y2, Face.emotion, Face.confidence)
        # The primary key begins with the medium and the frame.
        among = (Face.media_id == media_id, Face.frame_index.between(min(found), max(found)))
        for frame_index, *values in session.execute(select(*shown).where(*among).order_by(Face.face_index)):
            if frame_index in found:
                found[frame_index][1].append(tuple(values))
    return list(found.values())
