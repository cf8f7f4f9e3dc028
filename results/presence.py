"""Workers that took themselves out, because files of their shards are missing on their host."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from results.clock import ago, now
from results.jobs import UNFINISHED, changed
from results.tables import AbsentWorker, Job, Media

DEAD_S = 3600.0
"""Seconds after which an absent worker that no longer looks for its files counts as ended."""

SAMPLE = 100
"""Open media that an absent worker looks for, besides those that it missed."""


def leave(session: Session, worker: str, uris: Sequence[str]) -> None:
    """Records that a worker is absent, and which files it missed; rows of ended workers are deleted."""
    gone = AbsentWorker.seen_at < ago(DEAD_S)
    changed(session, delete(AbsentWorker).where(gone | (AbsentWorker.worker == worker)))
    session.execute(insert(AbsentWorker).values(worker=worker, since=now, seen_at=now, uris=list(uris)))


def come_back(session: Session, worker: str) -> None:
    """Records that a worker is present again."""
    changed(session, delete(AbsentWorker).where(AbsentWorker.worker == worker))


def missed_by(session: Session, worker: str) -> Sequence[str] | None:
    """The files that an absent worker missed; None if it is present."""
    return session.scalar(select(AbsentWorker.uris).where(AbsentWorker.worker == worker))


def still_absent(session: Session, worker: str) -> None:
    """Records that the worker has looked again, in vain."""
    changed(session, update(AbsentWorker).where(AbsentWorker.worker == worker).values(seen_at=now))


def absent_workers(session: Session) -> Sequence[AbsentWorker]:
    """The absent workers that looked for their files not long ago, by name."""
    living = AbsentWorker.seen_at >= ago(DEAD_S)
    return session.scalars(select(AbsentWorker).where(living).order_by(AbsentWorker.worker)).all()


def open_uris(session: Session, queues: Sequence[str]) -> Sequence[str]:
    """At most `SAMPLE` media that wait in these queues, of the newest jobs first."""
    waiting = (Job.queue.in_(queues), Job.state.in_(UNFINISHED), Media.state == "pending")
    wanted = select(Media.uri).join(Job, Job.id == Media.job_id).where(*waiting)
    return session.scalars(wanted.order_by(Media.job_id.desc(), Media.id).limit(SAMPLE)).all()
