"""The outcome policy: what happens to a shard whose work ends with an error.

Cancelled and lost leases end quietly; stopping workers and outages of the database requeue the shard without counting
the attempt, and so does a file that is missing on this host, for a while; permanent errors fail it; transient errors
requeue it, counted, at most `MAX_ATTEMPTS` times.
A full disk fails the shard. Any other database error is raised: the outcome could not be written either, and the lease
expires.
"""

from collections.abc import Callable
from enum import Enum, auto

from sqlalchemy.exc import SQLAlchemyError

from fer_model.errors import FerModelError, TransientMediaError
from fer_model.extras import missing
from results.errors import (
    DatabaseFullError,
    JobCancelledError,
    NameTakenError,
    ResultsError,
    ShardLostError,
    UnknownModelError,
)
from workers.errors import CropsRefusedError, MissingMediaError, WorkersError, WorkerStoppingError
from workers.lease.outages import OUTAGES

REFUSALS = (NameTakenError, UnknownModelError)
"""Errors of the catalogue: the database works, and rejects the request."""

CLEAR = (FerModelError, WorkersError, DatabaseFullError, *REFUSALS)
"""Errors whose message is written for users."""

TOO_LONG = "took longer than a worker may spend on one piece; use shorter ones (--shard-seconds)"


class Verdict(Enum):
    """What the outcome policy decides."""

    CANCELLED = auto()
    LOST = auto()
    REQUEUE = auto()
    POSTPONE = auto()
    FAIL = auto()
    RETRY = auto()
    RAISE = auto()


def judge(error: Exception, is_permanent: Callable[[Exception], bool]) -> Verdict:
    """Applies the policy of this module; `is_permanent` classifies only errors of the work itself."""
    match error:
        case JobCancelledError():
            return Verdict.CANCELLED
        case ShardLostError():
            return Verdict.LOST
        case WorkerStoppingError():
            return Verdict.REQUEUE
        case MissingMediaError():
            return Verdict.POSTPONE
        case _ if isinstance(error, OUTAGES):
            return Verdict.REQUEUE
        case DatabaseFullError():
            # The rows find no room; the failure, which is small, may.
            return Verdict.FAIL
        case _ if isinstance(error, ResultsError) and not isinstance(error, REFUSALS):
            return Verdict.RAISE
    return Verdict.FAIL if is_permanent(error) else Verdict.RETRY


def is_permanent(error: Exception) -> bool:
    """Whether every further attempt would fail too, as with a file that is no video."""
    return isinstance(error, (FerModelError, CropsRefusedError, *REFUSALS)) and not isinstance(
        error, TransientMediaError
    )


def reason_of(error: Exception) -> str:
    """What went wrong, in one sentence for the reader of the row."""
    if isinstance(error, CLEAR):
        return str(error)
    # By its name: it comes from billiard, which is Celery's.
    if type(error).__name__ == "SoftTimeLimitExceeded":
        return TOO_LONG
    if isinstance(error, MemoryError):
        return "there was not enough memory"
    if isinstance(error, SQLAlchemyError):
        # Its text holds the statement and its values; the log has it.
        return f"the database refused the rows ({type(error).__name__})"
    return missing(error) or f"{type(error).__name__}: {error}"
