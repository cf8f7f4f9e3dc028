"""Programs that run side by side with one log; a program that dies is started again."""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from workers.errors import LocalStackError
from workers.queue.processes import STOP_S, spawn, stop

ATTEMPTS = 3
"""How often a program may die in a row before it was ready."""

BACK_S = 1.0
"""How long a dead program waits for its restart: one that dies again and again must not take all processors."""

POLL_S = 0.2
LAST_LINES = 3

Log = Callable[[str, str], None]
"""Takes a program's name and one line of its log. Called from several threads."""


@dataclass(frozen=True)
class Program:
    """What to run. A line of its log that contains `ready` marks a successful start.

    `stop_s` is how long it may take to end after SIGTERM; `pass_fds` are file descriptors that it keeps open.
    """

    name: str
    command: Sequence[str]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_s: float = STOP_S
    pass_fds: tuple[int, ...] = ()


class Supervised:
    """A program, its process, and the thread that reads its log."""

    process: subprocess.Popen[bytes]
    _reader: threading.Thread
    _last: deque[str]

    def __init__(self, program: Program, log: Log) -> None:
        self.program = program
        self.ready = threading.Event()
        self._log = log
        self._failed_starts = 0
        self._start()

    def revive(self) -> None:
        """Starts the program again if it has died.

        Raises:
            LocalStackError: it died before it was ready, `ATTEMPTS` times in a row; the message ends with its log.
        """
        if (code := self.process.poll()) is None:
            return
        # Kills the children that outlived it, which also closes the log.
        stop(self.process)
        self._reader.join()
        self._failed_starts = 0 if self.ready.is_set() else self._failed_starts + 1
        if self._failed_starts == ATTEMPTS:
            raise LocalStackError(
                f"{self.program.name} died {ATTEMPTS} times before it was ready ({_ending(code)}): "
                + (" | ".join(self._last) or "its log is empty")
            )
        self._log("up", f"{self.program.name} died ({_ending(code)}); starting it again")
        time.sleep(BACK_S)
        self._start()

    def read_to_the_end(self) -> None:
        """Returns when the log of a program that has ended is read."""
        self._reader.join(STOP_S)

    def _start(self) -> None:
        self.ready.clear()
        self._last = deque(maxlen=LAST_LINES)
        reading, writing = os.pipe()
        try:
            # The child holds the reading end too: if this program is killed, writing the log must not fail in the
            # middle of an orderly shutdown.
            kept = (reading, *self.program.pass_fds)
            self.process = spawn(self.program.command, writing, self.program.environment, kept)
        finally:
            os.close(writing)
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()

    def _read(self, pipe: int) -> None:
        with open(pipe, errors="replace") as lines:
            for line in filter(None, map(str.rstrip, lines)):
                self._last.append(line)
                # A terminal that is gone must not block the program.
                with suppress(OSError, SystemExit):
                    self._log(self.program.name, line)
                if self.program.ready in line:
                    self.ready.set()


@contextmanager
def running(groups: Sequence[Sequence[Program]], log: Log) -> Iterator[list[Supervised]]:
    """Starts each group when the one before is ready, and stops the groups in the reverse order.

    Raises:
        LocalStackError: a program died before it was ready, `ATTEMPTS` times in a row.
    """
    with ExitStack() as stack:
        started: list[Supervised] = []
        for group in groups:
            stack.callback(_stop, begun := [], log)
            for program in group:
                begun.append(Supervised(program, log))
            started += begun
            while not all(each.ready.is_set() for each in begun):
                revive_all(started)
        yield started


def watch(programs: Sequence[Supervised]) -> None:
    """Starts again what dies, until an exception ends it.

    Raises:
        LocalStackError: a program died before it was ready, `ATTEMPTS` times in a row.
    """
    while True:
        revive_all(programs)


def revive_all(programs: Sequence[Supervised]) -> None:
    """Starts again what has died, and waits a moment. Raises as `watch` does."""
    for each in programs:
        each.revive()
    time.sleep(POLL_S)


def _stop(programs: Sequence[Supervised], log: Log) -> None:
    if not programs:
        return
    with suppress(OSError, SystemExit):
        log("up", f"stopping {', '.join(each.program.name for each in programs)}")
    stop(*(each.process for each in programs), seconds=max(each.program.stop_s for each in programs))
    for each in programs:
        each.read_to_the_end()


def _ending(code: int) -> str:
    return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
