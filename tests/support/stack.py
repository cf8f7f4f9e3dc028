"""A Redis server, a database and a worker: what the fixture `stack` gives."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

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


def stack_on(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on the database at `url`, until the generator is closed."""
    from results.database import upgrade
    from workers.queue.local_stack import local_redis, stack_folder

    upgrade(url)
    log = tmp_path_factory.mktemp("stack") / "worker.log"
    with stack_folder() as folder, local_redis(folder) as broker_url:
        running = Stack(url, broker_url)
        with running_worker(running.environment, log):
            yield running
    print(f"--- what the worker on {url.partition(':')[0]} said ---\n{log.read_text()}")
