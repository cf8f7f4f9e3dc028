"""Deletes jobs with all their data: rows and face crops."""

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine as Database

from results.database import reading, writing
from results.jobs import delete_job, get_job
from results.retention import compact, old_jobs
from workers.batch import crops

logger = logging.getLogger(__name__)

EVERY_S = 3600.0
"""How often a worker looks for expired jobs."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A job that was deleted; `crops_left` is the folder of its crops if this machine does not have it."""

    job: str
    crops_left: Path | None


def remove(database: Database, job_id: str) -> Removed:
    """Deletes a job with its results and crops.

    Rows first: a worker that still processes the job then stops, and deletes the crops it wrote since. Raises
    `ResultsError`, or `OSError` if crops cannot be deleted.
    """
    with writing(database) as session:
        folder = crops.folder_of(get_job(session, job_id).options, job_id)
        delete_job(session, job_id)
    if folder is None:
        return Removed(job_id, None)
    missing = not folder.parent.is_dir()
    crops.forget(folder)
    return Removed(job_id, folder if missing else None)


def purge(database: Database, age: timedelta) -> list[Removed]:
    """Removes the jobs that ended at least `age` ago, one transaction each, and compacts the database."""
    with reading(database) as session:
        old = [job.id for job in old_jobs(session, age)]
    removed = [remove(database, job_id) for job_id in old]
    if removed:
        compact(database)
    return removed


_next = 0.0


def enforce(database: Database, days: float | None) -> None:
    """Purges jobs older than `days` (FER_RETENTION_DAYS), if set; at most once an hour in a process."""
    global _next
    if days is None or time.monotonic() < _next:
        return
    _next = time.monotonic() + EVERY_S
    for each in purge(database, timedelta(days=days)):
        logger.info("job %s is older than FER_RETENTION_DAYS and was deleted", each.job)
        if each.crops_left:
            logger.warning("its pictures of faces are not on this machine: %s", each.crops_left)
