"""Processes that stand still (SIGSTOP) as one that hangs, or whose host is cut off.

SQLite has no server that takes a lock away: a process that is frozen in a transaction, or while it closes the last
connection, locks all others out. So no process is frozen there.
"""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import Engine as Database
from sqlalchemy import select

from results.database import reading
from results.tables import Shard
from tests.support.cluster import children, wait_for


def held(database: Database, worker: "subprocess.Popen[bytes]") -> tuple[int, int] | None:
    """The shard that a worker holds, and its epoch."""
    names = [f"{os.uname().nodename}:{pid}" for pid in children(worker)]
    statement = select(Shard.id, Shard.epoch).where(Shard.state == "running", Shard.worker.in_(names))
    with reading(database) as session:
        row = session.execute(statement).first()
    return None if row is None else (row.id, row.epoch)


def freeze_at_work(database: Database, worker: "subprocess.Popen[bytes]") -> tuple[int, int] | None:
    """Freezes a worker and its children if it holds a shard; returns the shard and its epoch, or None.

    Freezes first and checks then: between a check and the freeze a fast worker could end its shard.
    """
    pids = everyone(worker)
    if freeze(database, pids):
        if found := held(database, worker):
            return found
        thaw(pids)
    return None


def freeze(database: Database, pids: Sequence[int]) -> bool:
    """Freezes processes unless one of them has the database locked; says whether they are."""
    _send(signal.SIGSTOP, pids)
    # On a busy machine a process runs on until its signal is delivered, and may begin a transaction.
    wait_for(lambda: all(map(_stands_still, pids)), "the processes stand still", 10.0, every_s=0.01)
    if database.dialect.name != "sqlite" or not _is_locked(database):
        return True
    thaw(pids)
    return False


def thaw(pids: Sequence[int]) -> None:
    """Lets processes run on."""
    _send(signal.SIGCONT, pids)


def everyone(worker: "subprocess.Popen[bytes]") -> list[int]:
    """A worker and its pool processes."""
    return [worker.pid, *children(worker)]


def _send(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _stands_still(pid: int) -> bool:
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _is_locked(database: Database) -> bool:
    with closing(sqlite3.connect(str(database.url.database), timeout=0.5, isolation_level=None)) as probe:
        try:
            probe.execute("BEGIN IMMEDIATE")
            probe.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
    return False
