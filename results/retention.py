"""Retention: which jobs and hours of streams are old enough to delete, and compacting the database afterwards."""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.orm import Session

from results.database import reading
from results.driver_errors import translate_errors
from results.errors import DatabaseBusyError, DatabaseFullError
from results.hours import begin_of, hour_of
from results.jobs import UNFINISHED, changed, delete_job, utc_now
from results.streams import StreamOptions
from results.tables import Face, Frame, Job, Media

PURGED = ("batch",)
"""Kinds of jobs that are deleted as a whole: a training stores no faces, and its model may be in use."""

TABLES = "jobs, media, shards, frames, faces, face_scores, tracks, stream_events"

FRAMES = 5_000
"""Frames of a stream's hour that one transaction deletes: on SQLite no other writes meanwhile."""


@dataclass(frozen=True, slots=True)
class OldHour:
    """An hour of a stream that is to be deleted, and the options of its job."""

    media_id: int
    job_id: str
    name: str
    started_at: datetime
    options: Mapping[str, Any]


LONGEST = timedelta(days=36_500)
"""A retention beyond it would reach back beyond the first year, and fail that of all other streams."""


def old_jobs(session: Session, age: timedelta) -> Sequence[str]:
    """The ids of jobs with faces that ended at least `age` ago, the oldest first. An unfinished job is never old."""
    ended = Job.finished_at <= utc_now(session) - age
    wanted = select(Job.id).where(Job.kind.in_(PURGED), Job.state.not_in(UNFINISHED), ended)
    return session.scalars(wanted.order_by(Job.id)).all()


def delete_ended(session: Session, job_id: str) -> bool:
    """Deletes a job with all its rows; False, without a change, if it was opened again since it was found to be old."""
    state = select(Job.state).where(Job.id == job_id).with_for_update(key_share=True)
    if session.scalar(state) in UNFINISHED:
        return False
    delete_job(session, job_id)
    return True


def old_hours(session: Session, age: timedelta | None, *, own: bool) -> list[OldHour]:
    """The hours of streams that ended at least `age` ago, the oldest first; None is no limit.

    With `own` a stream's own retention counts instead, where it has one.
    """
    found: list[OldHour] = []
    moment = utc_now(session)
    for job in session.scalars(select(Job).where(Job.kind == "stream").order_by(Job.id)).all():
        kept_ms = StreamOptions.of(job.options).retention_ms if own else None
        kept = age if kept_ms is None else min(LONGEST, timedelta(milliseconds=kept_ms))
        if kept is None:
            continue
        ended = (Media.job_id == job.id, Media.position < hour_of(moment - kept))
        hours = select(Media.id, Media.position).where(*ended).order_by(Media.position)
        for media_id, position in session.execute(hours):
            found.append(OldHour(media_id, job.id, job.name or job.id, begin_of(position), job.options))
    return found


def forget_hour(session: Session, media_id: int) -> bool:
    """Deletes at most `FRAMES` frames of an hour, in the end the hour itself; False once it is gone.

    Call it in one transaction each.
    """
    first = session.scalar(select(func.min(Frame.frame_index)).where(Frame.media_id == media_id))
    if first is None:
        return changed(session, delete(Media).where(Media.id == media_id)) > 0
    for table in (Face, Frame):
        changed(session, delete(table).where(table.media_id == media_id, table.frame_index < first + FRAMES))
    return True


def compact(database: Database) -> bool:
    """Frees the space of deleted rows; False if that would block a running job, or could not be done.

    SQLite's file shrinks, and no deleted row stays readable in it. That blocks all writers, so it is done only while
    no job is unfinished; it needs as much room as the rows that are left, and no other reader meanwhile.
    PostgreSQL keeps its files and reuses the space, which blocks no one.

    Raises:
        DatabaseUnreachableError, DatabaseReadOnlyError.
    """
    is_server = database.dialect.name == "postgresql"
    with suppress(DatabaseBusyError, DatabaseFullError), translate_errors(database.url):
        if is_server:
            with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(f"VACUUM (ANALYZE) {TABLES}"))
            return True
        with reading(database) as session:
            if session.scalar(select(exists().where(Job.state.in_(UNFINISHED)))):
                return False
        with closing(database.raw_connection()) as plain:
            plain.cursor().execute("VACUUM")
            # Until then the log holds what was deleted; who reads keeps it from being emptied.
            is_held, *_ = plain.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not is_held
    # PostgreSQL does it by itself, later.
    return is_server
