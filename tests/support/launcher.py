"""Runs the command line in forks of a process that has imported what its commands need.

To start Python and to import SQLAlchemy takes a command a second or two of a processor, more than most tests need
otherwise. A fork is a process like any other: it has its own streams, environment and current folder, and its memory is
that of a command that has just imported its modules. `commands.fer_batch` uses it; this module runs as its program.
"""

import atexit
import io
import json
import os
import runpy
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from workers.queue.processes import _end_with_parent

MODULES = (
    "alembic.command",
    "celery.apps.worker",
    "celery.bin.worker",
    "celery.worker.consumer",
    "cli.connection",
    "cli.views.following",
    "fer_model.engines",
    "kombu.transport.redis",
    "psycopg",
    "rich.progress",
    "rich.table",
    "workers.batch.submitting",
    "workers.queue.log_lines",
    "workers.queue.pool",
    "workers.queue.transport",
    "workers.tasks",
    "workers.watchdog",
)
"""Imported once. None starts threads, which a fork would lack, or reads a setting."""

LEARNING = ("fer_model.training.classifier", "fer_model.training.measurement.reports")
"""For commands that import torch."""

LONGEST_REQUEST = 2**20


def serve(requests: socket.socket, modules: Sequence[str]) -> None:
    """Runs a command for each request, until the caller is gone.

    A request is JSON (words, environment, current folder, whether it gets a session of its own) and the command's
    stdin, stdout, stderr and a socket. That receives the command's pid and later its exit status as `waitpid` gives it.
    """
    for module in modules:
        import_module(module)
    while True:
        request, files, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
        if not request:
            return
        # A process of its own waits for the command, so that several can run at once.
        if not os.fork():
            _watch(json.loads(request), files)
        for file in files:
            os.close(file)
        _bury_the_dead()


def _bury_the_dead() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def _watch(request: dict[str, Any], files: list[int]) -> NoReturn:
    *streams, answer = files
    _end_with_parent()
    pid = os.fork()
    if not pid:
        _end_with_parent()
        os.close(answer)
        if request["session"]:
            os.setsid()
        _become_the_command(request, streams)
    os.write(answer, struct.pack("i", pid))
    os.write(answer, struct.pack("i", os.waitpid(pid, 0)[1]))
    os._exit(0)


def _become_the_command(request: dict[str, Any], streams: list[int]) -> NoReturn:
    status = 1
    try:
        _prepare(request, streams)
        runpy.run_module("cli", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = _status(end.code)
    except BaseException:
        traceback.print_exc()
    finally:
        # What Python does at its end.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _prepare(request: dict[str, Any], streams: list[int]) -> None:
    """Makes the fork what a new process would be."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    time.tzset()
    tempfile.tempdir = None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(streams):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = _stream(1, "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "backslashreplace")  # type: ignore[misc]
    sys.argv = ["cli", *request["words"]]


def _stream(number: int, errors: str) -> io.TextIOWrapper:
    is_terminal = os.isatty(number)
    return io.TextIOWrapper(
        open(number, "wb", closefd=False), encoding="utf-8", errors=errors, line_buffering=number == 2 or is_terminal
    )


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return int(code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), (*MODULES, *sys.argv[2:]))
