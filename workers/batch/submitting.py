"""Writes a job and queues its shards."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from celery import Celery
from sqlalchemy import Engine as Database

from fer_model.sources.discover import PassedOver
from fer_model.sources.files import masked
from results import notifications
from results.closing import close_job
from results.database import reading, writing
from results.jobs import create_job, job_of_token
from results.plans import MediaPlan, add_plan
from results.read.status import job_status
from results.tables import PRIORITY, Job
from workers.batch.crops_roots import check_permitted
from workers.batch.planning import BatchOptions, plan
from workers.errors import TokenTakenError
from workers.queue.app import settings_of
from workers.queue.broker import BROKER_ERRORS, check_broker
from workers.queue.dispatching import advance

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""How long `submit` probes videos itself: small jobs are planned at once, and large ones do not delay it."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job in the database, with how many media and shards it has."""

    job: str
    media: int
    shards: int


def submit(
    app: Celery,
    database: Database,
    paths: Sequence[str],
    options: BatchOptions,
    *,
    name: str | None = None,
    token: str | None = None,
    priority: int = PRIORITY,
    notify: str | None = None,
    on_medium: Callable[[MediaPlan], None] = lambda medium: None,
    passed_over: PassedOver | None = None,
) -> Submitted:
    """Lists what there is to do, writes the job in one transaction and queues its first shards.

    The job covers the files that exist at this moment. `submit` probes videos for `PATIENCE_S` seconds; workers probe
    the rest, each the videos that it claims. Workers post the end of the job to the address `notify`.

    Raises:
        NothingToDoError: no path leads to a picture or a video; no job is made.
        TokenTakenError: the token names a job with other paths or options.
        CropsRefusedError: crops would lie outside FER_CROPS_ROOTS; no job is made.
        BrokerUnreachableError: the broker does not answer; no job is made.
        ResultsError: the database cannot be used.
    """
    check_broker(app)
    settings = settings_of(app)
    with reading(database) as session:
        earlier = job_of_token(session, token)
        # An earlier request with this token decides, even if the files have changed since.
        job_id = _repeated(earlier, paths, options) if earlier else None
    if job_id is None:
        check_permitted(options.keep_crops, settings.permitted_crops)
        media, shards = plan(paths, options, settings.permitted_roots, on_medium, PATIENCE_S, passed_over)
        stored = {"paths": _shown(paths), **options.as_dict()}
        with writing(database) as session:
            queue = settings.submit_queue
            job, new = create_job(
                session, kind="batch", name=name, options=stored, queue=queue, priority=priority, request_token=token
            )
            if new:
                add_plan(session, job.id, media, shards)
                if notify:
                    notifications.notify(session, job.id, notify)
                close_job(session, job.id)
            job_id = job.id if new else _repeated(job, paths, options)
    try:
        advance(app, database, job_id)
    except BROKER_ERRORS as error:
        # The job is written, and the workers' sweep sends the missing messages.
        logger.warning("the broker went away while job %s was queued: %s", job_id, error)
    with reading(database) as session:
        status = job_status(session, job_id)
    return Submitted(job_id, status.media, sum(status.shards.values()))


def _repeated(job: Job, paths: Sequence[str], options: BatchOptions) -> str:
    """The id of the job that an earlier request with the same token made."""
    if job.kind != "batch" or job.options["paths"] != _shown(paths):
        reason = "other paths"
    elif BatchOptions.of(job.options) != options:
        reason = "other options"
    else:
        return job.id
    raise TokenTakenError(
        f"The token '{job.request_token}' was used for job {job.id}, with {reason}; use another token for another job."
    )


def _shown(paths: Sequence[str]) -> list[str]:
    return [masked(path) for path in paths]
