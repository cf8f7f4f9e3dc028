"""Sends messages where a failure may be ignored: the sweep sends what is missing."""

import logging
from collections.abc import Callable

from celery import Celery
from sqlalchemy import Engine as Database

from results.errors import ResultsError
from workers.queue.broker import BROKER_ERRORS
from workers.queue.dispatching import advance

logger = logging.getLogger(__name__)


def try_advance(app: Celery, database: Database, job_id: str) -> None:
    """As `advance`, but only logs an outage of the broker or the database."""
    try_send(job_id, lambda: advance(app, database, job_id))


def try_send(job_id: str, send: Callable[[], object]) -> None:
    """Calls `send`; only logs an outage of the broker or the database. Committed rows stay."""
    try:
        send()
    except (*BROKER_ERRORS, ResultsError) as error:
        logger.warning("job %s: nothing could be queued (%s)", job_id, error)
