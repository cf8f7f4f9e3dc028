"""What became of each attempt at a shard that did not end in its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, exists, insert, literal, select
from sqlalchemy.orm import Session

from results.clock import now
from results.tables import Media, Shard, ShardAttempt

MOST = 1000
"""Most attempts that are given."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a shard; `uri` is its video, or the first of its pictures, None for a training."""

    shard_id: int
    uri: str | None
    epoch: int
    worker: str | None
    ended_at: datetime
    counted: bool
    error: str


def note_attempt(session: Session, shard_id: int, epoch: int, error: str, *, counted: bool) -> None:
    """Records how the attempt with this `epoch` at a shard ended; does nothing if that is recorded already.

    Its worker is read from the shard's row, in the same transaction as the end itself or the next claim.
    """
    worker = case((Shard.epoch == epoch, Shard.worker), else_=Shard.last_worker)
    known = exists().where(ShardAttempt.shard_id == shard_id, ShardAttempt.epoch == epoch)
    row = select(literal(shard_id), literal(epoch), worker, now, literal(counted), literal(error))
    columns = ["shard_id", "epoch", "worker", "ended_at", "counted", "error"]
    session.execute(insert(ShardAttempt).from_select(columns, row.where(Shard.id == shard_id, ~known)))


def attempts_of(session: Session, job_id: str) -> Sequence[Attempt]:
    """The attempts at a job's shards that did not end in rows, in the order in which they ended; at most `MOST`."""
    uri = (
        select(Media.uri)
        .where(Media.job_id == Shard.job_id, Media.position == Shard.first_position)
        .correlate(Shard)
        .scalar_subquery()
    )
    rest = (ShardAttempt.epoch, ShardAttempt.worker, ShardAttempt.ended_at, ShardAttempt.counted, ShardAttempt.error)
    wanted = select(ShardAttempt.shard_id, uri, *rest).join(Shard, Shard.id == ShardAttempt.shard_id)
    ordered = wanted.where(Shard.job_id == job_id).order_by(ShardAttempt.ended_at, ShardAttempt.shard_id)
    return [Attempt(*row) for row in session.execute(ordered.limit(MOST))]
