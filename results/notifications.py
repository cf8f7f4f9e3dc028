"""Where the ends of jobs are posted, and whether they were."""

from collections.abc import Sequence

from sqlalchemy import insert, or_, select, update
from sqlalchemy.orm import Session

from results.clock import ago, now
from results.jobs import UNFINISHED, changed
from results.tables import Job, Notification

AT_ONCE = 5
"""Notifications that one sweep posts."""

RETRY_S, TRIES = 60.0, 1440
"""A notification is tried once a minute, for a day."""


def notify(session: Session, job_id: str, url: str) -> None:
    """Has the job's end posted to `url`."""
    session.execute(insert(Notification).values(job_id=job_id, url=url))


def take_due(session: Session, queues: Sequence[str]) -> Sequence[tuple[str, str, int]]:
    """At most `AT_ONCE` jobs of these queues whose end is to be posted now; each to one caller.

    With each its address and the number of the attempt.

    A caller that dies, or cannot post it, leaves it to the next minute.
    """
    ended = select(Job.id).where(Job.queue.in_(queues), Job.state.not_in(UNFINISHED))
    is_due = or_(Notification.due_at.is_(None), Notification.due_at <= now)
    open_ones = (Notification.sent_at.is_(None), Notification.attempts < TRIES, is_due, Notification.job_id.in_(ended))
    chosen = select(Notification.job_id).where(*open_ones).order_by(Notification.job_id).limit(AT_ONCE)
    ids = chosen.with_for_update(skip_locked=True).cte("chosen")
    taken = update(Notification).where(Notification.job_id.in_(select(ids.c.job_id)))
    values = {"attempts": Notification.attempts + 1, "due_at": ago(-RETRY_S)}
    rows = session.execute(
        taken.values(values).returning(Notification.job_id, Notification.url, Notification.attempts),
        execution_options={"synchronize_session": False},
    )
    return [(job_id, url, attempt) for job_id, url, attempt in rows]


def note_outcome(session: Session, job_id: str, attempt: int, error: str | None) -> None:
    """Records that the end of a job was posted, or why not; nothing if it was opened again meanwhile."""
    values = {"error": error} if error else {"error": None, "sent_at": now}
    # Of the row alone: PostgreSQL checks that again after it has waited for a `retry`, which sets the attempts to 0.
    mine = (Notification.job_id == job_id, Notification.attempts == attempt)
    changed(session, update(Notification).where(*mine).values(values))
