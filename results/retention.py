"""Retention: which jobs are old enough to delete, and compacting the database afterwards."""

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta

from sqlalchemy import Engine as Database
from sqlalchemy import exists, select, text
from sqlalchemy.orm import Session

from results.database import reading
from results.driver_errors import translate_errors
from results.jobs import UNFINISHED, utc_now
from results.tables import Job

PURGED = ("batch", "stream")
"""Kinds of jobs that store faces; a training stores none, and its model may be in use."""

TABLES = "jobs, media, shards, frames, faces, face_scores, tracks"


def old_jobs(session: Session, age: timedelta) -> Sequence[Job]:
    """The jobs with faces that ended at least `age` ago, the oldest first. An unfinished job is never old."""
    ended = Job.finished_at <= utc_now(session) - age
    wanted = select(Job).where(Job.kind.in_(PURGED), Job.state.not_in(UNFINISHED), ended)
    return session.scalars(wanted.order_by(Job.id)).all()


def compact(database: Database) -> bool:
    """Frees the space of deleted rows; False, without a change, if that would block a running job.

    SQLite's file shrinks, and no deleted row stays readable in it. That blocks all writers, so it is done only while
    no job is unfinished. PostgreSQL keeps its files and reuses the space, which blocks no one.

    Raises:
        DatabaseUnreachableError, DatabaseReadOnlyError, DatabaseBusyError.
    """
    with translate_errors(database.url):
        if database.dialect.name == "postgresql":
            with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text(f"VACUUM (ANALYZE) {TABLES}"))
            return True
        with reading(database) as session:
            if session.scalar(select(exists().where(Job.state.in_(UNFINISHED)))):
                return False
        with closing(database.raw_connection()) as plain:
            plain.cursor().execute("VACUUM")
            plain.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True
