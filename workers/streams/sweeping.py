"""The sweep of streams: quick, because another worker must have a stream within seconds of its worker's death."""

from collections.abc import Callable

from celery import Celery
from sqlalchemy import Engine as Database

from results import backlog, sweeps
from results.database import reading, writing
from results.streams import QUEUE
from workers.queue import dispatching

EVERY_S = 0.5
"""How often the streams are swept, and how soon a message that no worker took is sent again: a worker that is frozen
may have received it. Duplicates do no harm."""


def sweep(app: Celery, database: Database, is_gone: Callable[[str], bool]) -> bool:
    """Frees the streams of silent workers and sends messages for those without a worker; False if there was none.

    `is_gone` says of a worker, HOST:PID, whether it is a process of this host that has ended.
    """
    with reading(database) as session:
        if not backlog.streams_need_sweep(session) or not sweeps.due(session, [QUEUE], EVERY_S):
            return False
    with writing(database) as session:
        if not sweeps.take_turn(session, [QUEUE], EVERY_S):
            return False
        backlog.release_silent(session, is_gone)
    dispatching.sweep(app, database, [QUEUE], EVERY_S)
    return True
