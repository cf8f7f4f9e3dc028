"""The media that a shard covers, and what becomes of them when the shard ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import BigInteger, and_, bindparam, case, cast, func, or_, select, update
from sqlalchemy.orm import Session

from results.jobs import changed
from results.tables import Media, Shard


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a job that one shard covers; the fields are those of `tables.Shard`."""

    job_id: str
    media_id: int | None
    first_position: int
    last_position: int
    start_ms: int | None
    end_ms: int | None
    start_frame: int
    planned_frames: int

    @property
    def is_unplanned_video(self) -> bool:
        """Whether it is a whole video that has not been probed yet; see `shards.split`."""
        return self.media_id is not None and self.start_ms is None


def media_of(session: Session, piece: Piece) -> Sequence[Media]:
    """The media to process, by position."""
    statement = _MEDIA_OF_PICTURES if piece.media_id is None else _MEDIUM_OF_VIDEO
    return session.scalars(statement, _covered(piece)).all()


def settle_media(session: Session, piece: Piece, updates: Sequence[Mapping[str, Any]] = ()) -> None:
    """Gives the media their final state after the piece is done.

    A video is settled with its last shard, with a note if planned frames could not be decoded. `updates` are rows of
    `media` for all pictures of the piece, keyed `id` and any of `state` (default done), `error`, `width`, `height`;
    without them all pictures are done.
    """
    if piece.media_id is not None:
        _settle_video(session, piece.media_id)
    elif updates:
        _settle_pictures(session, updates)
    else:
        changed(session, _SETTLE_PICTURES, _covered(piece) | {"state": "done"})


def fail_media(session: Session, piece: Piece, reason: str) -> None:
    """Marks the pictures as failed; of a video, notes the first part that failed."""
    if piece.media_id is None:
        changed(session, _SETTLE_PICTURES, _covered(piece) | {"state": "failed", "error": reason})
        return
    failed = _part(piece) + reason
    first = case((Media.error.is_(None), failed), (Media.error == Media.note, Media.note + "; " + failed))
    video = update(Media).where(Media.id == piece.media_id, or_(Media.error.is_(None), Media.error == Media.note))
    changed(session, video.values(error=first))
    _settle_video(session, piece.media_id)


def _part(piece: Piece) -> str:
    """The part of its video, as the beginning of a message; empty for a whole video."""
    if piece.start_ms is None or (piece.start_ms == 0 and piece.end_ms is None):
        return ""
    end = "the end" if piece.end_ms is None else f"{piece.end_ms / 1000:g} s"
    return f"{piece.start_ms / 1000:g} s to {end}: "


def _covered(piece: Piece) -> dict[str, Any]:
    if piece.media_id is not None:
        return {"of_video": piece.media_id}
    return {"of_job": piece.job_id, "first": piece.first_position, "last": piece.last_position}


def _settle_pictures(session: Session, updates: Sequence[Mapping[str, Any]]) -> None:
    rows = [{"state": "done", "medium_id": row["id"], **row} for row in updates]
    for row in rows:
        del row["id"]
    # One statement for all rows with the same columns.
    for _, alike in groupby(sorted(rows, key=sorted), key=sorted):
        session.execute(_SETTLE_PICTURE, list(alike))


def _settle_video(session: Session, media_id: int) -> None:
    # Two last shards may end at once. The lock serialises them, so that the count after it sees both.
    # A stronger lock would deadlock with the key locks that inserting faces took.
    session.execute(_LOCK_VIDEO, {"of_video": media_id})
    left, done, planned, frames = session.execute(_COUNT_OF_VIDEO, {"of_video": media_id}).one()
    if left == 0:
        values: dict[str, Any] = {"state": "done" if done else "failed"}
        if (planned or 0) > (frames or 0):
            note = f"{planned - frames:,} of {planned:,} frames could not be decoded"
            values["error"] = func.coalesce(Media.error + "; ", "") + note
        # Once, also where several of its last shards fail together.
        changed(session, update(Media).where(Media.id == media_id, Media.state == "pending").values(values))


# Statements of every shard are built once: building one takes SQLAlchemy longer than the database needs to answer.
_MEDIA = Media.metadata.tables["media"]
_COVERED_VIDEO = Media.id == bindparam("of_video")
# A picture that could not be read at planning time is not pending, and not part of the work.
_COVERED_PICTURES = and_(
    Media.job_id == bindparam("of_job"),
    Media.position.between(bindparam("first"), bindparam("last")),
    Media.kind == "image",
    Media.state == "pending",
)
_MEDIUM_OF_VIDEO = select(Media).where(_COVERED_VIDEO)
_MEDIA_OF_PICTURES = select(Media).where(_COVERED_PICTURES).order_by(Media.position)
_SETTLE_PICTURES = update(_MEDIA).where(_COVERED_PICTURES)
_SETTLE_PICTURE = update(_MEDIA).where(Media.id == bindparam("medium_id"))
_LOCK_VIDEO = select(Media.id).where(_COVERED_VIDEO).with_for_update(key_share=True)
_COUNT_OF_VIDEO = select(
    func.count().filter(Shard.state.in_(("pending", "running"))),
    func.count().filter(Shard.state == "done"),
    func.sum(Shard.planned_frames).filter(Shard.state == "done"),
    # The sum of 64-bit integers would be a decimal number.
    cast(func.sum(Shard.frames).filter(Shard.state == "done"), BigInteger),
).where(Shard.media_id == bindparam("of_video"))
