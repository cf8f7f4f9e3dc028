"""A large job in pieces, two of which are read at once: PostgreSQL smooths each statement on one processor."""

import sqlite3
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from time import sleep
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


def rows_of(session: Session, statements: Sequence[Select[Any]]) -> Generator[RowMapping]:
    """The rows of the statements one after the other, `AT_ONCE` statements at once, each in a session of its own.

    Ends the transaction of `session`, which the server would end when it idles for long. The rows of a few statements
    are in memory. Statements that run when the reading ends early are cancelled.
    """
    session.commit()
    database, running = session.get_bind(), list[Any]()

    def all_of(statement: Select[Any]) -> Sequence[RowMapping]:
        with Session(database) as other:
            running.append(driver := other.connection().connection.driver_connection)
            try:
                return other.execute(statement).mappings().all()
            finally:
                running.remove(driver)

    pool = ThreadPoolExecutor(AT_ONCE)
    waiting: deque[Future[Sequence[RowMapping]]] = deque()
    try:
        for statement in statements:
            waiting.append(pool.submit(all_of, statement))
            if len(waiting) > AT_ONCE:
                yield from _first(waiting)
        while waiting:
            yield from _first(waiting)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        # Again and again, since one that is just beginning is not cancelled.
        while not all(each.done() for each in waiting):
            for driver in list(running):
                driver.interrupt() if isinstance(driver, sqlite3.Connection) else driver.cancel()
            sleep(0.05)


def _first(waiting: deque[Future[Sequence[RowMapping]]]) -> Sequence[RowMapping]:
    # Taken out only when it is done: if the waiting is interrupted, it is cancelled like the others.
    rows = waiting[0].result()
    waiting.popleft()
    return rows
