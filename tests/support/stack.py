"""A Redis server, a database and a worker: what the fixture `stack` gives."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.launching import started
from workers.queue.processes import stop


@dataclass(frozen=True)
class Stack:
    """A Redis server, a database and a worker that run."""

    database_url: str
    broker_url: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment of processes that use the stack."""
        return {"FER_DATABASE_URL": self.database_url, "FER_BROKER_URL": self.broker_url}


@contextmanager
def running_worker(environment: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """As `local_worker`, but its main process starts as a fork (`tests.support.launcher`); its pool is spawned."""
    process = started(["worker"], environment, log)
    try:
        yield process
    finally:
        stop(process)
