"""Calls with a time limit."""

import threading
import time
from typing import NoReturn

from tests.support.threads import no_thread_to_spare
from workers.metrics.timeouts import within


def test_an_answer_in_time_is_given() -> None:
    assert within(5, lambda number: number + 1)(2) == 3


def test_a_failure_is_no_answer() -> None:
    def fail() -> NoReturn:
        raise OSError("away")

    limited = within(5, fail)
    assert limited() is None
    assert limited() is None


def test_one_that_found_no_thread_answers_once_there_is_one() -> None:
    limited = within(5, lambda: "answer")
    with no_thread_to_spare():
        assert limited() is None
    assert limited() == "answer"


def test_one_that_hangs_is_waited_for_once() -> None:
    returns = threading.Event()
    calls = []

    def hang() -> str:
        calls.append(1)
        returns.wait()
        return "late"

    limited = within(0.2, hang)
    assert limited() is None
    began = time.monotonic()
    assert [limited() for _ in range(100)] == [None] * 100
    assert time.monotonic() - began < 0.2 and len(calls) == 1
    returns.set()
    until = time.monotonic() + 5
    while limited() != "late" and time.monotonic() < until:
        time.sleep(0.01)
    assert limited() == "late"
