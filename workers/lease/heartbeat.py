"""Renews a lease in the background, and learns of a cancelled job or a lost lease."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine as Database

from results import leases
from results.database import writing
from results.errors import JobCancelledError, ResultsError, ShardLostError
from results.leases import Claim

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.25
"""The usual interval, and thus how soon a worker learns that its job was cancelled."""

Counts = Callable[[], tuple[int, int] | None]
"""Frames and faces so far; None leaves those of the shard's row as they are."""


@contextmanager
def heartbeat(
    database: Database, claim: Claim, interval_s: float, counts: Counts = lambda: None
) -> Iterator[Callable[[], None]]:
    """Renews the lease every `interval_s` seconds until the body ends, however long one step of it takes.

    It has its own thread: a worker that compiles networks or seeks for a long time keeps its lease. Yields a function
    that raises what a renewal has learned: `JobCancelledError` or `ShardLostError`.
    """
    ended = threading.Event()
    learned: list[ResultsError] = []

    def renew() -> None:
        outage: ResultsError | None = None
        while not ended.wait(interval_s):
            try:
                with writing(database) as session:
                    leases.heartbeat(session, claim, counts())
            except (JobCancelledError, ShardLostError) as error:
                error.__cause__ = outage
                learned.append(error)
                return
            except Exception as error:
                # Whatever it is: without a thread that renews it, the lease would be lost.
                outage = error if isinstance(error, ResultsError) else outage
                logger.warning("shard %s: the lease was not renewed: %s", claim.id, error)

    def check() -> None:
        if learned:
            raise learned[0]

    thread = threading.Thread(target=renew, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        ended.set()
        thread.join()
