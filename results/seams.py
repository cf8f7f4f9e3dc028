"""The seams between the segments of a video: each segment's tracks, and its faces that may continue earlier ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.bulk import portions
from results.tables import Face, Shard

FRAMES_PER_QUERY = 1000
"""Frames in one statement: databases limit the number of parameters."""

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the original picture."""


class TrackBox(NamedTuple):
    """One track in one frame of the video."""

    frame_index: int
    track_id: int
    box: Box


@dataclass(frozen=True, slots=True)
class ShardTracks:
    """The tracks of one segment [start_ms, end_ms), in the order in which they begin; `end_ms` is None for the last.

    `seam` are the boxes of its tracks in frames from `end_ms` on, which the segment itself saw (`Shard.seam`). `seen`
    are its own faces in the frames of any segment's seam, keyed by frame index.
    """

    shard_id: int
    start_ms: int
    end_ms: int | None
    tracks: Sequence[int]
    seam: Sequence[TrackBox]
    seen: Mapping[int, Sequence[TrackBox]]


def tracks_by_segment(session: Session, media_id: int) -> list[ShardTracks]:
    """The finished segments of a video by time. Faces outside the seams are not loaded."""
    columns = (Shard.id, Shard.start_ms, Shard.end_ms, Shard.seam)
    finished = select(*columns).where(Shard.media_id == media_id, Shard.state == "done").order_by(Shard.start_ms)
    shards = session.execute(finished).all()
    seams = {shard.id: [_track_box(*row) for row in shard.seam or ()] for shard in shards}
    tracks = _tracks(session, media_id)
    seen = _seen(session, media_id, {seen_box.frame_index for seam in seams.values() for seen_box in seam})
    return [
        ShardTracks(
            shard.id,
            shard.start_ms or 0,
            shard.end_ms,
            tracks.get(shard.id, []),
            seams[shard.id],
            seen.get(shard.id, {}),
        )
        for shard in shards
    ]


def _track_box(frame_index: float, track_id: float, x1: float, y1: float, x2: float, y2: float) -> TrackBox:
    return TrackBox(int(frame_index), int(track_id), (x1, y1, x2, y2))


def _tracks(session: Session, media_id: int) -> dict[int, list[int]]:
    """The tracks of each shard, in the order in which they begin."""
    begun = (
        select(Face.shard_id, Face.track_id)
        .where(Face.media_id == media_id)
        .group_by(Face.shard_id, Face.track_id)
        .order_by(func.min(Face.frame_index), Face.track_id)
    )
    tracks: dict[int, list[int]] = {}
    for shard_id, track_id in session.execute(begun):
        if track_id is not None:
            tracks.setdefault(shard_id, []).append(track_id)
    return tracks


def _seen(session: Session, media_id: int, frames: Iterable[int]) -> dict[int, dict[int, list[TrackBox]]]:
    """Shard -> frame index -> the tracked faces in that frame."""
    wanted = sorted(frames)
    seen: dict[int, dict[int, list[TrackBox]]] = {}
    for some in portions(wanted, FRAMES_PER_QUERY):
        faces = select(Face.shard_id, Face.frame_index, Face.track_id, Face.x1, Face.y1, Face.x2, Face.y2).where(
            Face.media_id == media_id,
            Face.frame_index.in_(some),
        )
        for shard_id, frame_index, track_id, *box in session.execute(faces):
            if track_id is not None:
                seen_box = _track_box(frame_index, track_id, *box)
                seen.setdefault(shard_id, {}).setdefault(frame_index, []).append(seen_box)
    return seen
