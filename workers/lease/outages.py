"""Retrying transactions during a database outage: a server's restart must not cost hours of work."""

from collections.abc import Callable

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from results.errors import DatabaseBusyError, DatabaseUnreachableError

OUTAGES = (DatabaseUnreachableError, DatabaseBusyError)

OUTAGE_S, PAUSE_S = 20.0, 0.5
"""How long a transaction is retried, and the pause in between: well within a shard's lease."""


def attempts(check: Callable[[], None] = lambda: None) -> Retrying:
    """Retries while the database is unreachable or busy. Calls `check` before each retry; what that raises ends them.

    Use as `attempts()(function, *arguments)`. Raises the last of `OUTAGES` after `OUTAGE_S` seconds.
    """
    outage = retry_if_exception_type(OUTAGES)
    stop, wait = stop_after_delay(OUTAGE_S), wait_fixed(PAUSE_S)
    return Retrying(retry=outage, stop=stop, wait=wait, before_sleep=lambda state: check(), reraise=True)
