"""Where the segments of one video meet: the tracks of each, and who was in its first and last frame."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.models import Face, Frame, Media, Shard

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ShardTracks:
    """The tracks of one segment [start_ms, end_ms); `end_ms` is None for the last one of a video.

    `first` and `last` hold the boxes (x1, y1, x2, y2) of the tracks in its outermost frames.
    """

    shard_id: int
    start_ms: int
    end_ms: int | None
    tracks: tuple[int, ...]
    first: Mapping[int, Box]
    last: Mapping[int, Box]


def videos_in_segments(session: Session, job_id: str) -> list[int]:
    """The ids of the job's videos that were cut into more than one segment."""
    cut = select(Shard.media_id).join(Media, Media.id == Shard.media_id).where(Shard.job_id == job_id)
    return [key for key in session.scalars(cut.group_by(Shard.media_id).having(func.count() > 1)) if key is not None]


def tracks_by_segment(session: Session, media_id: int) -> list[ShardTracks]:
    """The finished segments of a video, in the order of time."""
    done = select(Shard).where(Shard.media_id == media_id, Shard.state == "done").order_by(Shard.start_ms)
    return [_tracks(session, shard) for shard in session.scalars(done).all()]


def _tracks(session: Session, shard: Shard) -> ShardTracks:
    followed = (Face.shard_id == shard.id, Face.track_id.is_not(None))
    tracks = session.scalars(select(Face.track_id).where(*followed).distinct().order_by(Face.track_id)).all()
    ends = select(func.min(Frame.frame_index), func.max(Frame.frame_index)).where(Frame.shard_id == shard.id)
    first, last = (
        {
            row.track_id: (row.x1, row.y1, row.x2, row.y2)
            for row in session.execute(
                select(Face.track_id, Face.x1, Face.y1, Face.x2, Face.y2).where(*followed, Face.frame_index == index)
            )
        }
        for index in session.execute(ends).one()
    )
    known = tuple(track for track in tracks if track is not None)
    return ShardTracks(shard.id, shard.start_ms or 0, shard.end_ms, known, first, last)
