"""The hours of a stream: each UTC hour of its recording is one medium."""

from datetime import UTC, datetime

from sqlalchemy import Select, and_, delete, func, select
from sqlalchemy.orm import Session

from results.closing import insert_tracks
from results.jobs import changed, utc_now
from results.tables import Face, Media, Track

HOUR_MS = 3_600_000


def hour_of(at: datetime) -> int:
    """The `position` of the hour in which `at` lies: whole hours since 1970 in UTC."""
    return int(at.timestamp()) // 3600


def begin_of(position: int) -> datetime:
    """When the hour at this `position` begins."""
    return datetime.fromtimestamp(position * 3600, UTC)


def newest_hour(session: Session, job_id: str) -> int | None:
    """The id of a stream's last hour; None if nothing was recorded."""
    return session.scalar(_newest(job_id, 1))


def close_tracks(session: Session, job_id: str) -> None:
    """Gives rows of `tracks` to those tracks of a stream that have none, or an older one than their faces.

    A worker writes them as tracks end, so only those of one that died or was stopped are missing. They lie in the last
    two hours, or about now, where a clock that was set back has left later ones.
    """
    now = hour_of(utc_now(session))
    about_now = select(Media.id).where(Media.job_id == job_id, Media.position.in_((now - 1, now)))
    hours = {*session.scalars(_newest(job_id, 2)), *session.scalars(about_now)}
    known = select(Track.last_ms).where(Track.media_id == Face.media_id, Track.track_id == Face.track_id)
    is_open = func.max(Face.time_ms) > func.coalesce(known.scalar_subquery(), -1)
    seen = select(Face.media_id, Face.track_id).where(Face.media_id.in_(hours), Face.track_id.is_not(None))
    tracks: dict[int, list[int | None]] = {}
    for media_id, track_id in session.execute(seen.group_by(Face.media_id, Face.track_id).having(is_open)):
        tracks.setdefault(media_id, []).append(track_id)
    for media_id, ids in tracks.items():
        changed(session, delete(Track).where(Track.media_id == media_id, Track.track_id.in_(ids)))
        insert_tracks(session, and_(Face.media_id == media_id, Face.track_id.in_(ids)))


def _newest(job_id: str, count: int) -> Select[int]:
    return select(Media.id).where(Media.job_id == job_id).order_by(Media.position.desc()).limit(count)
