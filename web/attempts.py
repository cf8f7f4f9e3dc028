"""How often a visitor may try a password."""

import time
from collections import deque
from math import ceil

MOST = 5
WINDOW_S = 60.0
"""A visitor's wrong passwords within so many seconds are at most `MOST`."""

MOST_OF_ALL = 100
"""The same for all visitors together, who may be one with many addresses. It also bounds the memory."""


class Attempts:
    """Failed logins of the last minute. Used by one event loop only."""

    def __init__(self) -> None:
        self._failures: deque[tuple[float, str]] = deque(maxlen=MOST_OF_ALL)

    def failed(self, visitor: str) -> None:
        """Counts a wrong password."""
        self._failures.append((time.monotonic(), visitor))

    def wait_s(self, visitor: str) -> int:
        """Whole seconds until the visitor may try again; 0 if that is now."""
        oldest = time.monotonic() - WINDOW_S
        recent = [(at, who) for at, who in self._failures if at > oldest]
        own = [at for at, who in recent if who == visitor]
        ends = [own[-MOST]] if len(own) >= MOST else []
        ends += [recent[0][0]] if len(recent) == MOST_OF_ALL else []
        return ceil(max(ends) - oldest) if ends else 0
