"""Deletes jobs and hours of streams with all their data: rows, face crops and checkpoints."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from results.bulk import portions
from results.database import reading, writing
from results.jobs import delete_job, get_job
from results.read.status import JobStatus, job_statuses
from results.retention import OldHour, compact, delete_ended, forget_hour, old_hours, old_jobs
from results.tables import Job
from workers.batch import crops
from workers.batch.crops_roots import folder_of
from workers.errors import CropsRefusedError, ForgedJobError
from workers.lease.outages import insist
from workers.training import checkpoints

logger = logging.getLogger(__name__)

T = TypeVar("T")

EVERY_S = 3600.0
"""How often a worker looks for expired jobs."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A job, or its hour, that was deleted; `crops_left` is the folder of its crops if they could not be deleted."""

    job: str
    crops_left: Path | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """Jobs that were deleted; `compacted` is False if an SQLite file is to be compacted by the next deletion."""

    removed: list[Removed]
    compacted: bool


def remove(database: Database, job_id: str, crops_roots: Sequence[str]) -> Removed:
    """Deletes a job with its results and, below `crops_roots` (`Settings.permitted_crops`), its crops.

    Rows first: a worker that still processes the job then stops, and deletes the crops it wrote since. Raises
    `ResultsError`.
    """
    with reading(database) as session:
        options = get_job(session, job_id).options
    _delete(database, delete_job, job_id)
    return Removed(job_id, _forget_crops(options, job_id, crops_roots))


def _delete(database: Database, delete: Callable[[Session, T], bool], key: T) -> bool:
    """What `delete` returns; again if the answer to its commit was lost: no row would tell of the crops any more."""

    def attempt() -> bool:
        with writing(database) as session:
            return delete(session, key)

    return insist(attempt)


def remove_hour(database: Database, hour: OldHour, crops_roots: Sequence[str]) -> Removed:
    """Deletes an hour of a stream with its crops, in short transactions. Raises as `remove`."""
    while _delete(database, forget_hour, hour.media_id):
        pass
    return Removed(hour.job_id, _forget_crops(hour.options, hour.job_id, crops_roots, str(hour.media_id)))


def _forget_crops(options: Mapping[str, Any], job_id: str, crops_roots: Sequence[str], part: str = "") -> Path | None:
    """Deletes the crops of a job, or those in the sub-folder `part`; gives the folder if they stay.

    The rows are gone, so that no later attempt would find them: the user has to be told.
    """
    try:
        folder = folder_of(options, job_id, crops_roots)
    except (CropsRefusedError, ForgedJobError) as error:
        logger.warning("%s; nothing was deleted there", error)
        return Path(str(options["keep_crops"])) / part
    if folder is None:
        return None
    missing = not folder.parent.is_dir()
    try:
        crops.forget(folder / part)
    except OSError as error:
        logger.error("pictures of faces could not be deleted: %s", error)
        return folder / part
    return folder / part if missing else None


def delete(database: Database, models_dir: Path, job_id: str, crops_roots: Sequence[str]) -> Deletion:
    """Deletes a job with its results, crops and checkpoints. Models that it trained stay.

    Raises as `remove` does, and `ForgedJobError` for a training whose id is not of a job's form.
    """
    with reading(database) as session:
        is_training = get_job(session, job_id).kind == "train"
    removed = remove(database, job_id, crops_roots)
    compacted = compact(database)
    if is_training:
        checkpoints.forget(models_dir, job_id)
    return Deletion([removed], compacted)


def due(database: Database, age: timedelta) -> list[JobStatus]:
    """The jobs that `purge` would delete."""
    with reading(database) as session:
        return [status for some in portions(old_jobs(session, age)) for status in job_statuses(session, some)]


def due_hours(database: Database, age: timedelta | None, *, own: bool) -> list[OldHour]:
    """The hours of streams that `purge_hours` would delete; see `results.retention.old_hours`."""
    with reading(database) as session:
        return old_hours(session, age, own=own)


def purge_hours(database: Database, hours: Sequence[OldHour], crops_roots: Sequence[str]) -> Deletion:
    """Removes these hours of streams, and compacts the database. Raises as `remove`."""
    removed = [remove_hour(database, each, crops_roots) for each in hours]
    return Deletion(removed, compact(database) if removed else True)


def purge(
    database: Database,
    job_ids: Sequence[str],
    crops_roots: Sequence[str],
    on_removed: Callable[[str], None] = lambda job: None,
) -> Deletion:
    """Removes those of these jobs that are ended still, one transaction each, and then compacts the database.

    `on_removed` gets each one's id. Raises `ResultsError`.
    """
    removed = []
    for job_id in job_ids:
        with reading(database) as session:
            job = session.get(Job, job_id)
        if job is not None and _delete(database, delete_ended, job_id):
            removed.append(Removed(job_id, _forget_crops(job.options, job_id, crops_roots)))
            on_removed(job_id)
    return Deletion(removed, compact(database) if removed else True)


_next = 0.0


def enforce(database: Database, days: float | None, crops_roots: Sequence[str]) -> None:
    """Deletes jobs, and hours of streams, older than `days` (FER_RETENTION_DAYS), if set; at most once an hour.

    A stream's own retention goes before.
    """
    global _next
    if time.monotonic() < _next:
        return
    _next = time.monotonic() + EVERY_S
    age = None if days is None else timedelta(days=days)
    with reading(database) as session:
        jobs = [] if age is None else old_jobs(session, age)
    removed = purge(database, jobs, crops_roots).removed
    for each in removed:
        logger.info("job %s is older than FER_RETENTION_DAYS and was deleted", each.job)
    for hour in due_hours(database, age, own=True):
        # The stream fills the space again: nothing is compacted.
        removed.append(remove_hour(database, hour, crops_roots))
        logger.info("the hour from %s of stream %s is over its retention and was deleted", hour.started_at, hour.name)
    for each in removed:
        if each.crops_left:
            logger.warning("pictures of faces are not on this machine, or may not be deleted: %s", each.crops_left)
