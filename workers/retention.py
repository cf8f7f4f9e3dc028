"""Deletes jobs with all their data: rows, face crops and checkpoints."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine as Database

from results.database import reading, writing
from results.jobs import delete_job, get_job
from results.read.status import JobStatus, job_statuses
from results.retention import compact, old_jobs
from workers.batch import crops
from workers.batch.crops_roots import folder_of
from workers.errors import CropsRefusedError, ForgedJobError
from workers.training import checkpoints

logger = logging.getLogger(__name__)

EVERY_S = 3600.0
"""How often a worker looks for expired jobs."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A job that was deleted; `crops_left` is the folder of its crops if this machine does not have it."""

    job: str
    crops_left: Path | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """Jobs that were deleted; `compacted` is False if the database's file keeps its size until the next deletion."""

    removed: list[Removed]
    compacted: bool


def remove(database: Database, job_id: str, crops_roots: Sequence[str]) -> Removed:
    """Deletes a job with its results and, below `crops_roots` (`Settings.permitted_crops`), its crops.

    Rows first: a worker that still processes the job then stops, and deletes the crops it wrote since. Raises
    `ResultsError`, or `OSError` if crops cannot be deleted.
    """
    with writing(database) as session:
        options = get_job(session, job_id).options
        delete_job(session, job_id)
    try:
        folder = folder_of(options, job_id, crops_roots)
    except (CropsRefusedError, ForgedJobError) as error:
        logger.warning("%s; nothing was deleted there", error)
        return Removed(job_id, Path(str(options["keep_crops"])))
    if folder is None:
        return Removed(job_id, None)
    missing = not folder.parent.is_dir()
    crops.forget(folder)
    return Removed(job_id, folder if missing else None)


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
        return job_statuses(session, [job.id for job in old_jobs(session, age)])


def purge(
    database: Database,
    job_ids: Sequence[str],
    crops_roots: Sequence[str],
    on_removed: Callable[[str], None] = lambda job: None,
) -> Deletion:
    """Removes these jobs, one transaction each, and then compacts the database; `on_removed` gets each one's id.

    Raises as `remove` does.
    """
    removed = []
    for job_id in job_ids:
        removed.append(remove(database, job_id, crops_roots))
        on_removed(job_id)
    return Deletion(removed, compact(database) if removed else True)


_next = 0.0


def enforce(database: Database, days: float | None, crops_roots: Sequence[str]) -> None:
    """Purges jobs older than `days` (FER_RETENTION_DAYS), if set; at most once an hour in a process."""
    global _next
    if days is None or time.monotonic() < _next:
        return
    _next = time.monotonic() + EVERY_S
    for each in purge(database, [job.job for job in due(database, timedelta(days=days))], crops_roots).removed:
        logger.info("job %s is older than FER_RETENTION_DAYS and was deleted", each.job)
        if each.crops_left:
            logger.warning("its pictures of faces are not on this machine, or may not be deleted: %s", each.crops_left)
