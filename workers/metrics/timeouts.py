"""Calls with a time limit, for servers that may not answer."""

import logging
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def within(seconds: float, call: Callable[P, T]) -> Callable[P, T | None]:
    """`call` with a time limit: returns None where it fails or takes longer.

    While an earlier call is still running, further calls return None at once: a server that hangs occupies one
    thread, and delays no later caller.
    """
    busy = threading.Lock()

    def limited(*arguments: P.args, **options: P.kwargs) -> T | None:
        if not busy.acquire(blocking=False):
            return None
        answers: list[T] = []

        def run() -> None:
            try:
                answers.append(call(*arguments, **options))
            except Exception as error:
                logger.debug("not answered: %s", error)
            finally:
                busy.release()

        # A daemon thread: an executor's threads would keep the program from ending.
        thread = threading.Thread(target=run, name="timeout", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The process has as many threads as it may; later calls may find one.
            busy.release()
            logger.debug("not asked: %s", error)
            return None
        thread.join(seconds)
        return answers[0] if answers else None

    return limited
