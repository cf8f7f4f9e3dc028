"""The life of a lease: claim, heartbeat, fenced commits, and the outcome."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import inf
from typing import Generic, Literal, TypeVar

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from results import leases
from results.database import writing
from results.errors import JobCancelledError, ShardLostError
from results.leases import MAX_ATTEMPTS, Claim
from workers.errors import MissingMediaError, WorkerStoppingError
from workers.lease import policy
from workers.lease.heartbeat import Counts, heartbeat
from workers.lease.outages import OUTAGES, insist
from workers.lease.policy import Verdict, judge, reason_of

logger = logging.getLogger(__name__)

Outcome = Literal["done", "failed", "given_back", "lost", "cancelled"]
"""How a lease ended; `given_back` is requeued, counted or not. Figures for Prometheus carry these words."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Lease(Generic[T]):
    """A shard that this worker holds.

    `claim` is its part of the job; set it when that changes (`shards.split`). `begun` is what `begin` returned.
    `outcome` is final once the body of `lease` has ended; an error that `lease` raises leaves it `lost`.
    """

    database: Database
    claim: Claim
    begun: T
    lease_s: float
    is_ours: Callable[[], None]
    stopping: Callable[[], bool]
    outcome: Outcome = "lost"

    def check(self) -> None:
        """Raises `JobCancelledError`, `ShardLostError` or `WorkerStoppingError` if the work must end; call it often."""
        self.is_ours()
        if self.stopping():
            raise WorkerStoppingError

    def commit(self, write: Callable[[Session, Claim], R]) -> R:
        """Runs `write` in a transaction of its own, again while the database is away and the lease can only be ours.

        `write` begins with a fenced function of `results.leases` or `results.shards`, which raises where the fencing
        token is not the newest. Raises what that raises, and `OUTAGES` if the database stays away for a whole lease.
        """
        return insist(partial(self._write, write), self.is_ours, self.lease_s)

    def settle(self, write: Callable[[Session, Claim], R]) -> R:
        """As `commit`, for the end of the lease: gives up only when the worker stops, or its time is over.

        A worker that stops already tries for `OUTAGE_S`: a server's restart is no reason to keep the lease.
        """
        if self.stopping():
            return insist(partial(self._write, write), self.is_ours)
        return insist(partial(self._write, write), self._check_end, inf)

    def _check_end(self) -> None:
        self.is_ours()
        if self.stopping():
            # Not `WorkerStoppingError`, which would be requeued, in the database that is away.
            raise TimeoutError("the worker stops")

    def _write(self, write: Callable[[Session, Claim], R]) -> R:
        with writing(self.database) as session:
            return write(session, self.claim)


_owed: list[tuple[Database, Claim]] = []
"""Attempts of this process that ended in an outage of the database and were not taken back yet."""


def _uncount_owed(database: Database) -> None:
    """Takes back the attempts that this process lost to an outage; later, if the database is away."""
    for where, claim in list(_owed):
        if where is not database:
            continue
        with suppress(*OUTAGES):
            with writing(database) as session:
                leases.uncount(session, claim)
            _owed.remove((where, claim))


def fail(held: Lease[T], reason: str) -> None:
    """Fails the shard and its media. What `lease` does with a permanent error unless it is given another function."""
    held.settle(lambda session, claim: leases.fail(session, claim, reason))


@contextmanager
def lease(
    database: Database,
    shard_id: int,
    worker: str,
    begin: Callable[[Session, Claim], T],
    *,
    lease_s: float,
    heartbeat_s: float,
    kind: str | None = None,
    counts: Counts = lambda: None,
    stopping: Callable[[], bool] = lambda: False,
    is_permanent: Callable[[Exception], bool] = policy.is_permanent,
    fail: Callable[[Lease[T], str], None] = fail,
    ended: Callable[[Outcome, float], None] = lambda outcome, seconds: None,
) -> Iterator[Lease[T] | None]:
    """Holds a shard while the body works on it; yields None if it is finished, cancelled or held by another worker.

    An error of the body ends here, by the policy of `workers.lease.policy`. A body that ends without one has
    committed its work.

    Args:
        begin: called in the transaction of the claim, which spares the work a transaction of its own.
        lease_s: seconds without a heartbeat after which an earlier worker has lost the shard.
        heartbeat_s: seconds between two heartbeats; much less than any worker's `lease_s`.
        kind: the kind of job that the body works on; None for any.
        counts: frames and faces so far, for the heartbeat.
        stopping: whether the worker is to stop; `check` calls it.
        is_permanent: which errors of the work fail the shard at once.
        fail: fails the shard.
        ended: called once with the outcome and the seconds since the claim.

    Raises:
        ResultsError: the database cannot be used; the lease expires, and the shard is claimed again.
    """
    _uncount_owed(database)
    claim = partial(_claim, database, shard_id, worker, lease_s, kind, begin)
    attempt = count()
    claimed = insist(lambda: claim(is_repeated=next(attempt) > 0))
    if claimed is None:
        yield None
        return
    began = time.monotonic()
    with heartbeat(database, claimed[0], heartbeat_s, counts) as is_ours:
        held = Lease(database, *claimed, lease_s, is_ours, stopping)
        try:
            yield held
            held.outcome = "done"
        except Exception as error:
            held.outcome = _settle(held, error, judge(error, is_permanent), fail)
        finally:
            ended(held.outcome, time.monotonic() - began)


def _claim(
    database: Database,
    shard_id: int,
    worker: str,
    lease_s: float,
    kind: str | None,
    begin: Callable[[Session, Claim], T],
    is_repeated: bool,
) -> tuple[Claim, T] | None:
    with writing(database) as session:
        claim = leases.claim(session, shard_id, worker, lease_s=lease_s, kind=kind)
        if claim is None and is_repeated:
            # The first claim may have been committed, and its answer lost: a process works on one shard at a time.
            claim = leases.held_by(session, shard_id, worker)
        return None if claim is None else (claim, begin(session, claim))


def _settle(held: Lease[T], error: Exception, verdict: Verdict, fail: Callable[[Lease[T], str], None]) -> Outcome:
    if verdict is Verdict.RAISE:
        raise error
    try:
        return _end(held, error, verdict, fail)
    except (JobCancelledError, ShardLostError) as late:
        late.__cause__ = late.__cause__ or error
        return _end(held, late, judge(late, policy.is_permanent), fail)
    except OUTAGES:
        _owed.append((held.database, held.claim))
        raise


def _end(held: Lease[T], error: Exception, verdict: Verdict, fail: Callable[[Lease[T], str], None]) -> Outcome:
    number = held.claim.id
    if verdict in (Verdict.CANCELLED, Verdict.LOST):
        logger.info("shard %s ends: %s", number, error)
        if verdict is Verdict.LOST and isinstance(error.__cause__, OUTAGES):
            # This worker lives: what another counted as its death was the outage.
            _owed.append((held.database, held.claim))
            _uncount_owed(held.database)
        return "cancelled" if verdict is Verdict.CANCELLED else "lost"
    if verdict is Verdict.REQUEUE:
        logger.info("shard %s is requeued: %s", number, error)
        held.settle(lambda session, claim: leases.requeue(session, claim, reason_of(error), counted=False))
        return "given_back"
    if verdict is Verdict.POSTPONE and isinstance(error, MissingMediaError):
        return _postpone(held, error)
    if verdict is Verdict.FAIL:
        # Of an error that is not foreseen the log has the traceback.
        logger.info("shard %s failed: %s", number, error, exc_info=not isinstance(error, policy.CLEAR))
        fail(held, reason_of(error))
        return "failed"
    logger.warning("shard %s failed in attempt %s of %s", number, held.claim.attempts, MAX_ATTEMPTS, exc_info=error)
    requeued = held.settle(lambda session, claim: leases.requeue(session, claim, reason_of(error)))
    return "given_back" if requeued else "failed"


def _postpone(held: Lease[T], error: MissingMediaError) -> Outcome:
    logger.warning("shard %s is left to another worker: %s", held.claim.id, error)
    longest_s = leases.LEFT_S if error.with_folder else leases.MISSING_S
    requeued = held.settle(lambda session, claim: leases.postpone(session, claim, str(error), longest_s))
    return "given_back" if requeued else "failed"
