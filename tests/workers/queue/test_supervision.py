"""Programs that are kept running, with real processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.watching import until
from workers.errors import LocalStackError
from workers.queue import supervision
from workers.queue.supervision import Program, Supervised, running, watch

WORKS = """
import signal, sys, time
def end(*_):
    print("ending", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "BACK_S", 0.0)


class Lines(list[tuple[str, str]]):
    """A log that is kept."""

    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))

    def of(self, name: str) -> list[str]:
        return [line for each, line in self if each == name]


def program(name: str, source: str = WORKS, stop_s: float = 20) -> Program:
    return Program(name, [sys.executable, "-c", source], "ready", {"NAME": name}, stop_s)


@contextmanager
def watched(programs: list[Supervised]) -> Iterator[Callable[[], BaseException | None]]:
    """Watches in a thread; yields a function that returns what ended it. It ends with the test in any case."""
    ended: list[BaseException] = []
    stopping = threading.Event()

    def look() -> None:
        try:
            while not stopping.is_set():
                supervision.revive_all(programs)
        except LocalStackError as error:
            ended.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    yield lambda: ended[0] if ended else None
    stopping.set()
    thread.join()


def another(program: Supervised, process: "subprocess.Popen[bytes]") -> bool:
    return program.process is not process


def test_groups_start_in_order_and_stop_in_the_reverse_order() -> None:
    log = Lines()
    with running([[program("redis")], [], [program("worker 1"), program("worker 2")]], log) as programs:
        assert [each.program.name for each in programs] == ["redis", "worker 1", "worker 2"]
        assert log[0] == ("redis", "ready"), "the workers began when Redis was ready"
    assert log.of("up") == ["stopping worker 1, worker 2", "stopping redis"]
    assert log[-1] == ("redis", "ending") and log.index(("worker 2", "ending")) < log.index(("up", "stopping redis"))
    assert all(each.process.poll() == 0 for each in programs)


def test_a_slow_log_has_the_last_lines_of_a_program_too() -> None:
    log = Lines()

    def slow(name: str, line: str) -> None:
        time.sleep(0.5)
        log(name, line)

    with running([[program("worker 1")]], slow):
        pass
    assert log[-1] == ("worker 1", "ending")


def test_a_program_that_dies_is_started_again() -> None:
    log = Lines()
    with running([[program("worker 1")]], log) as programs, watched(programs) as ended:
        for _ in range(supervision.ATTEMPTS + 1):
            first = programs[0].process
            until(lambda: programs[0].ready.is_set())
            os.kill(first.pid, signal.SIGKILL)
            until(partial(another, programs[0], first))
        until(lambda: programs[0].ready.is_set())
        assert ended() is None, "it was ready each time"
    assert "worker 1 died (signal 9 (SIGKILL)); starting it again" in log.of("up")


def test_children_of_a_dead_program_end_before_it_is_started_again() -> None:
    source = "import os, subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True);" + WORKS
    log = Lines()
    with running([[program("worker 1", source)]], log) as programs, watched(programs):
        first = programs[0].process
        first.kill()
        until(lambda: log.of("worker 1").count("ready") == 2)
    child = Path("/proc", log.of("worker 1")[0], "cmdline")
    # What has ended and was not waited for yet has no command line.
    until(lambda: not child.exists() or not child.read_bytes())


def test_a_program_that_dies_at_birth_ends_all_with_its_last_words() -> None:
    log = Lines()
    dies = "import os, sys; print('starting'); print('Error: no weights in', os.environ['NAME']); sys.exit(1)"
    expected = r"worker 1 died 3 times before it was ready \(exit code 1\): starting \| Error: no weights in worker 1$"
    with (
        pytest.raises(LocalStackError, match=expected),
        running([[program("redis")], [program("worker 1", dies)]], log),
    ):
        pytest.fail("it never was ready")
    assert log.of("worker 1").count("starting") == 3
    assert log.of("redis")[-1] == "ending"


def test_a_program_that_no_longer_starts_ends_all_later_too(tmp_path: Path) -> None:
    """Ready once, and then never again."""
    source = f"import os; os.mkdir({str(tmp_path / 'once')!r});" + WORKS
    log = Lines()
    with running([[program("worker 1", source)]], log) as programs, watched(programs) as ended:
        programs[0].process.kill()
        error = until(ended)
    assert "died 3 times before it was ready (exit code 1)" in str(error) and "FileExistsError" in str(error)


def test_a_program_that_does_not_end_is_killed() -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + WORKS.replace(
        "signal.signal(signal.SIGTERM, end)", ""
    )
    with running([[program("worker 1", deaf, stop_s=0.1)]], Lines()) as programs:
        pass
    assert programs[0].process.poll() == -signal.SIGKILL


def test_watching_ends_with_an_exception_alone() -> None:
    """Ctrl-C is one."""
    # A shell that runs the tests in its background has it ignored.
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), running([[program("worker 1")]], Lines()) as programs:
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            watch(programs)
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert programs[0].process.poll() == 0
