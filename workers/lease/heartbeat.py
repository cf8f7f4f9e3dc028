"""Saying that a worker lives, and learning whether its work is still wanted."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine as Database

from results import leases
from results.database import writing
from results.errors import JobCancelledError, ResultsError, ShardLostError

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.25
"""How often a worker reports, and how soon it learns that its job was cancelled."""


@contextmanager
def heartbeat(
    database: Database, claim: leases.Claim, counts: Callable[[], tuple[int, int]] = lambda: (0, 0)
) -> Iterator[Callable[[], None]]:
    """Reports in a thread of its own while the work goes on: preparing networks or a long seek is no death.

    `counts` gives frames and faces so far. Gives a function that raises what a report has learned:
    `JobCancelledError` or `ShardLostError`.
    """
    ended = threading.Event()
    stop: list[ResultsError] = []

    def report() -> None:
        while not ended.wait(HEARTBEAT_S):
            try:
                with writing(database) as session:
                    leases.heartbeat(session, claim, counts())
            except (JobCancelledError, ShardLostError) as error:
                stop.append(error)
                return
            except ResultsError as error:
                logger.warning("shard %s could not report: %s", claim.id, error)

    def check() -> None:
        if stop:
            raise stop[0]

    reporter = threading.Thread(target=report, name="heartbeat", daemon=True)
    reporter.start()
    try:
        yield check
    finally:
        ended.set()
        reporter.join()
