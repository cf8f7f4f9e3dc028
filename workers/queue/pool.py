"""Celery's pool of child processes, which gives up when children die at birth several times in a row."""

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from billiard.common import human_status
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool
from celery.worker import state

logger = logging.getLogger(__name__)

BIRTHS = 3
"""How often in a row a child may die before it was ready for work."""

READY = "a process of the pool is ready for work"
"""The worker's log says so after the first birth that succeeded; `fer-batch up` waits for it."""

STDERR = 2


class Children(AsynPool):  # type: ignore[misc]
    """The children of one worker. A child that has not reported to be up when it ends has died at birth.

    A child that dies later, for instance of a damaged file, is replaced without limit.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._unborn: set[int] = set()
        self._deaths = 0
        self._any_was_up = False
        self._last: deque[str] = deque(maxlen=1)
        self._readers: dict[int, threading.Thread] = {}
        super().__init__(*arguments, **options)

    def _create_worker_process(self, index: int) -> Any:
        with _stderr_read(self._last) as reader:
            child = super()._create_worker_process(index)
        self._unborn.add(child.pid)
        self._readers[child.pid] = reader
        return child

    def on_process_alive(self, pid: int) -> None:
        super().on_process_alive(pid)
        self._unborn.discard(pid)
        self._deaths = 0
        if not self._any_was_up:
            self._any_was_up = True
            logger.info(READY)

    def _join_exited_workers(self, shutdown: bool = False) -> Any:
        ended = {child.pid: child.exitcode for child in self._pool if child.exitcode is not None}
        for pid, code in ended.items():
            # What it said last has been read when its pipe is closed; a grandchild may keep that open.
            self._readers.pop(pid).join(timeout=1)
            if pid in self._unborn and not shutdown:
                self._unborn.discard(pid)
                self._died_at_birth(code)
        return super()._join_exited_workers(shutdown)

    def _repopulate_pool(self, exitcodes: Any) -> None:
        # The event loop may take a while until it ends the worker.
        if self._deaths < BIRTHS:
            super()._repopulate_pool(exitcodes)

    def _died_at_birth(self, code: int) -> None:
        self._deaths += 1
        if self._deaths < BIRTHS:
            return
        said = f": {self._last[-1]}" if self._last else ""
        app, *_ = self._initargs
        app.loader.deaths_at_birth = (
            f"The worker's processes died {BIRTHS} times in a row before they could work ({human_status(code)}){said}"
        )
        # The event loop ends the worker at its next turn, at once: no child is left to finish anything.
        state.should_terminate = 1


class Pool(TaskPool):  # type: ignore[misc]
    """Celery's pool `prefork` with children as above."""

    Pool = Children

    def on_start(self) -> None:
        # A child starts as `python -c`, which would look for modules in the current folder first.
        os.environ["PYTHONSAFEPATH"] = "1"
        try:
            os.getcwd()
        except FileNotFoundError:
            # Billiard passes the current folder on to each child; that one was deleted.
            os.chdir("/")
        super().on_start()

    def did_start_ok(self) -> bool:
        # Celery would give up, with a traceback, after a single death that comes early.
        return True


@contextmanager
def _stderr_read(last: deque[str]) -> Iterator[threading.Thread]:
    """Processes started inside write their stderr to a pipe; a thread copies it to ours and keeps the last line."""
    reading, writing = os.pipe()
    ours = os.dup(STDERR)
    reader = threading.Thread(target=_copy, args=(reading, ours, last), name="stderr of a child", daemon=True)
    os.dup2(writing, STDERR)
    try:
        yield reader
    finally:
        os.dup2(ours, STDERR)
        os.close(writing)
        reader.start()


def _copy(reading: int, target: int, last: deque[str]) -> None:
    with open(reading, "rb") as lines, open(target, "wb", buffering=0) as output:
        for line in lines:
            if text := line.decode(errors="replace").strip():
                last.append(text)
            try:
                output.write(line)
            except OSError:
                # The terminal or the disk is gone; the child must not wait for it.
                continue
