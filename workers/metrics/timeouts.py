"""Asking a server that may be away, by someone who cannot wait."""

import logging
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def within(seconds: float, ask: Callable[P, T]) -> Callable[P, T | None]:
    """The same question, which gives None where `ask` fails or takes longer.

    While a late answer is still awaited nothing else is asked: a server that hangs costs one thread, and
    whoever comes next no time.
    """
    busy = threading.Lock()

    def asked(*arguments: P.args, **options: P.kwargs) -> T | None:
        if not busy.acquire(blocking=False):
            return None
        answers: list[T] = []

        def run() -> None:
            try:
                answers.append(ask(*arguments, **options))
            except Exception as error:
                logger.debug("not answered: %s", error)
            finally:
                busy.release()

        # An executor's threads would keep the program from ending.
        thread = threading.Thread(target=run, name="asking", daemon=True)
        thread.start()
        thread.join(seconds)
        return answers[0] if answers else None

    return asked
