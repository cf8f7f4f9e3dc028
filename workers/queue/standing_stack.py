"""The stack that `fer-batch up` keeps running: a Redis server whose data survive it, workers, and Flower."""

import fcntl
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from results.streams import QUEUE
from workers.errors import LocalStackError
from workers.queue.local_stack import redis_command
from workers.queue.pool import READY
from workers.queue.processes import STOP_S
from workers.queue.supervision import Program
from workers.settings import Settings

UNSAFE = ("CONFIG", "MODULE", "REPLICAOF", "SLAVEOF", "DEBUG")
"""With these, any user of this machine could have the server write files or load code as its owner."""

COMMAND = (sys.executable, "-P", "-m", "cli")


@contextmanager
def locked_folder(folder: Path) -> Iterator[tuple[Path, int]]:
    """Creates the folder and locks it; yields it and the lock's file descriptor, which Redis is to keep open.

    So the folder stays locked as long as a Redis server writes to it, even if this program is killed.

    Raises:
        LocalStackError: another Redis server writes to it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalStackError(
                f"Another `fer-batch up` uses the folder {folder}; stop it, or name another folder with --data."
            ) from error
        yield folder, lock.fileno()


def broker_url(port: int) -> str:
    """The URL of a Redis server of this machine."""
    return f"redis://localhost:{port}/0"


def check_port(port: int, option: str) -> None:
    """Raises `LocalStackError` if something listens at a port of this machine; `option` chooses another."""
    with socket.socket() as listener:
        # Connections of an earlier server that are still closing do not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            # It is not used: it may keep nothing, and may be the queue of other workers.
            found = "A Redis server" if _is_redis(port) else "Another program"
            use = "stop it, or use it with `fer-batch worker`, or " if _is_redis(port) else ""
            raise LocalStackError(
                f"{found} listens at port {port} already; {use}choose another port with {option}."
            ) from error


def _is_redis(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=2, socket_connect_timeout=2) as client:
            client.ping()
    except redis.ResponseError:
        # It wants a password.
        return True
    except (redis.RedisError, OSError):
        return False
    return True


def redis_program(folder: Path, port: int, lock: int) -> Program:
    """A Redis server on this machine's loopback interface that appends every change to a file in `folder`."""
    options = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "save": "", "appendonly": "yes"}
    unsafe = [word for name in UNSAFE for word in ("--rename-command", name, "")]
    command = [*redis_command(options | {"loglevel": "notice"}), *unsafe]
    return Program("redis", command, ready="Ready to accept connections", pass_fds=(lock,))


def worker_programs(settings: Settings, count: int, streams: bool = False) -> list[Program]:
    """Workers, each with a metrics port of its own, from `metrics_port` on, unless that is 0; one more for streams."""
    names = {f"worker {number}": settings.queues for number in range(1, count + 1)}
    if streams:
        names["streams"] = QUEUE
    return [_worker(settings, name, queues, offset) for offset, (name, queues) in enumerate(names.items())]


def _worker(settings: Settings, name: str, queues: str, offset: int) -> Program:
    port = settings.metrics_port and settings.metrics_port + offset
    return Program(
        name,
        [*COMMAND, "worker", "--name", name.replace(" ", "-")],
        ready=READY,
        # Its log tells when it is ready; `up` leaves out what is not to be shown.
        environment={
            **settings.as_environment(),
            "FER_QUEUES": queues,
            "FER_METRICS_PORT": str(port),
            "FER_QUIET": "",
        },
        stop_s=settings.grace_seconds + STOP_S,
    )


def web_program(settings: Settings, port: int) -> Program:
    """The web page at a port of the loopback interface."""
    environment = settings.as_environment()
    return Program("web", [*COMMAND, "web", "--port", str(port)], ready="Web page: http", environment=environment)


def flower_program(settings: Settings, port: int, login: str) -> Program:
    """Flower at a port of the loopback interface, behind a login of the form `user:password`."""
    environment = {**settings.as_environment(), "FER_FLOWER_AUTH": login}
    return Program("flower", [*COMMAND, "flower", "--port", str(port)], ready="Flower: http", environment=environment)
