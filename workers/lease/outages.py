"""Retrying transactions during a database outage: a server's restart must not cost hours of work."""

import time
from collections.abc import Callable
from typing import TypeVar

from results.errors import (
    DatabaseBusyError,
    DatabaseUnreachableError,
    JobCancelledError,
    ResultsError,
    ShardLostError,
)
from workers.errors import WorkerStoppingError

OUTAGES = (DatabaseUnreachableError, DatabaseBusyError)

ENDINGS = (JobCancelledError, ShardLostError, WorkerStoppingError)
"""What ends a lease whether the database is away or not."""

OUTAGE_S, PAUSE_S = 20.0, 0.5
"""How long a transaction that needs no lease is retried, and the pause in between."""

T = TypeVar("T")


def insist(call: Callable[[], T], check: Callable[[], None] = lambda: None, longest_s: float | None = None) -> T:
    """What `call` returns; calls it again while the database is unreachable or busy, for `longest_s` (`OUTAGE_S`).

    Calls `check` before each retry; what that raises ends them, with the outage as its cause.

    Raises:
        DatabaseUnreachableError, DatabaseBusyError: the outage lasts longer, or a time limit ended the waiting.
    """
    until = time.monotonic() + (OUTAGE_S if longest_s is None else longest_s)
    outage: ResultsError | None = None
    while True:
        try:
            if outage is not None:
                check()
                time.sleep(PAUSE_S)
            return call()
        except OUTAGES as error:
            if time.monotonic() > until:
                raise
            outage = error
        except Exception as other:
            if outage is None:
                raise
            if isinstance(other, ENDINGS):
                raise other from outage
            # A time limit that is over because the database was away is no fault of the shard.
            raise outage from other
