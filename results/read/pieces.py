"""A large job in pieces, two of which are read at once: PostgreSQL smooths each statement on one processor."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

from sqlalchemy import RowMapping, Select, select
from sqlalchemy.orm import Session

from results.read.parts import Part
from results.tables import Shard

FACES = 100_000
"""The least number of faces in a piece but the last. A video is never divided."""

AT_ONCE = 2
END = 2**31 - 1
"""The largest number that the column of positions holds."""


def pieces_of(session: Session, part: Part) -> list[Part]:
    """A job as runs of whole media, in their order, of about `FACES` faces each."""
    columns = (Shard.first_position, Shard.last_position, Shard.faces)
    starts, end, faces = [0], 0, 0
    for first, last, count in session.execute(select(*columns).where(Shard.job_id == part.job_id).order_by(columns[0])):
        # A picture that was tried again has a shard of its own, inside the range of another.
        if faces >= FACES and first >= end:
            starts, faces = [*starts, first], 0
        end, faces = max(end, last + 1), faces + count
    return [replace(part, positions=run) for run in pairwise([*starts, END])]


def rows_of(session: Session, statements: Sequence[Select[Any]]) -> Iterator[RowMapping]:
    """The rows of the statements one after the other, `AT_ONCE` statements at once, each in a session of its own.

    The rows of a few statements are in memory.
    """
    running: deque[Future[Sequence[RowMapping]]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for statement in statements:
            running.append(pool.submit(_all, session, statement))
            if len(running) > AT_ONCE:
                yield from running.popleft().result()
        for each in running:
            yield from each.result()


def _all(session: Session, statement: Select[Any]) -> Sequence[RowMapping]:
    with Session(session.get_bind()) as other:
        return other.execute(statement).mappings().all()
