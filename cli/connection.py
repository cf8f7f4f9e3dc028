"""How commands reach the database."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from cli.views.lines import say
from cli.views.notes import note_what_is_missing
from results.database import check_revision, connect, existing, prepare, reading
from results.errors import DatabaseUnreachableError, ResultsError, UnknownJobError
from results.jobs import get_job, newest_job
from results.tables import Job
from workers.settings import Settings

READING_S = 24 * 3600.0
"""How long a transaction that only reads may idle: its output waits in a pager, or a film is written meanwhile."""


def prepared_database(settings: Settings) -> Database:
    """The database; its tables are created if it is empty. Raises `ResultsError`."""
    prepare(settings.database_url)
    return _closed_at_the_end(connect(settings.database_url))


def current_database(settings: Settings, locks_s: float | None = None) -> Database:
    """The database, which must exist at this program's revision; `locks_s` as in `connect`. Raises `ResultsError`."""
    database = _closed_at_the_end(existing(settings.database_url, locks_s))
    check_revision(database)
    return database


def _closed_at_the_end(database: Database) -> Database:
    """The same database, whose connections are closed when the command ends."""
    if context := click.get_current_context(silent=True):
        context.call_on_close(database.dispose)
    return database


@contextmanager
def asked_about(settings: Settings, reference: str | None) -> Iterator[tuple[Session, str]]:
    """A session that reads, and the id of the named or newest job; prints what of its results is missing.

    Raises `ResultsError`.
    """
    with reading(current_database(settings, READING_S)) as session:
        job_id = job_or_newest(session, reference).id
        note_what_is_missing(session, job_id)
        yield session, job_id


def database_if_any(settings: Settings) -> Database | None:
    """The database if there is one; a note on stderr if it cannot be used."""
    try:
        database = _closed_at_the_end(existing(settings.database_url))
    except DatabaseUnreachableError:
        return None
    try:
        check_revision(database)
    except ResultsError as error:
        say(f"Note: the database is not used: {error}", err=True)
        return None
    return database


def job_or_newest(session: Session, reference: str | None, *, training: bool = False) -> Job:
    """The job whose id begins or ends with `reference`, else the newest; with `training`, of training runs.

    Raises:
        UnknownJobError: there is none, or the named job is no training run.
    """
    # An empty one, as of a variable that is not set, names no job.
    if reference is not None:
        job = get_job(session, reference)
        if training and job.kind != "train":
            raise UnknownJobError(f"{job.id} is no training run; `fer-batch status {job.id}` shows what it is.")
        return job
    newest = newest_job(session, kind="train" if training else None)
    if sys.stderr.isatty():
        say(f"Job {newest.id}", err=True)
    return newest
