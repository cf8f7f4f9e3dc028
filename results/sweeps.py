"""Turns at sweeping: of all workers that serve a queue, one sweeps it each time."""

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import ColumnElement, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from results.clock import ago, now
from results.tables import Sweep


def due(session: Session, queues: Sequence[str], every_s: float) -> bool:
    """Whether one of these queues was not swept in the last `every_s` seconds; spares most workers a write."""
    fresh = select(Sweep.queue).where(Sweep.queue.in_(queues), not_(_is_old(every_s)))
    return len(session.scalars(fresh).all()) < len(set(queues))


def take_turn(session: Session, queues: Sequence[str], every_s: float) -> list[str]:
    """Those of the queues that the caller is to sweep now: a compare-and-set gives each to one of all workers."""
    known = set(session.scalars(select(Sweep.queue).where(Sweep.queue.in_(queues))))
    for queue in sorted(set(queues) - known):
        # Another worker may add it at the same moment.
        with suppress(IntegrityError), session.begin_nested():
            session.execute(insert(Sweep).values(queue=queue, swept_at=ago(every_s + 1)))
    old = update(Sweep).where(Sweep.queue.in_(queues), _is_old(every_s))
    taken = old.values(swept_at=now).returning(Sweep.queue)
    return sorted(session.scalars(taken, execution_options={"synchronize_session": False}))


def _is_old(every_s: float) -> ColumnElement[bool]:
    # Of a time far ahead the clock was set back since; waiting for it could take hours.
    return or_(Sweep.swept_at <= ago(every_s), Sweep.swept_at > ago(-every_s))
