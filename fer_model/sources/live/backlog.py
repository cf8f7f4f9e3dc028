"""Undecoded pictures that wait for the decoder: of `realtime` the newest ones, in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Protocol

from fer_model.sources.live.packets import Coded

STALE_S = 0.5
"""Seconds after which `realtime` has no use for a picture."""

MOST_BYTES = 2**26


class Backlog(Protocol):
    def put(self, coded: Coded) -> None:
        """Adds a picture behind the others."""

    def get(self, now: float) -> Coded | None:
        """The oldest picture that is due; None if there is none."""

    def due(self) -> float:
        """When the oldest picture is due, on the monotonic clock."""

    def empty(self) -> bool:
        """Whether none waits."""

    def close(self) -> None:
        """Forgets all."""


class Newest:
    """Keeps pictures for `STALE_S`. Behind time, it drops what stands before the newest keyframe, without decoding it.

    Where there is no later keyframe, decoding what is late is the quickest way to the present.
    `dropped` is called with the number of what was dropped.
    """

    def __init__(self, dropped: Callable[[int], None]) -> None:
        self._waiting: deque[Coded] = deque()
        self._bytes = self._keys = 0
        self._dropped, self._skipping = dropped, False

    def put(self, coded: Coded) -> None:
        if self._bytes + len(coded.data) > MOST_BYTES:
            self._skipping = True
            self._drop(len(self._waiting))
        self._skipping = self._skipping and not coded.key
        if self._skipping:
            self._dropped(1)
            return
        self._waiting.append(coded)
        self._bytes += len(coded.data)
        self._keys += coded.key

    def get(self, now: float) -> Coded | None:
        if not self._waiting or self._waiting[0].due > now:
            return None
        if now - self._waiting[0].due > STALE_S:
            self._drop(self._before_newest_key(now))
        return self._pop()

    def due(self) -> float:
        return self._waiting[0].due if self._waiting else inf

    def empty(self) -> bool:
        return not self._waiting

    def close(self) -> None:
        self._waiting.clear()

    def _before_newest_key(self, now: float) -> int:
        """How many stand before the newest keyframe that is due."""
        if self._keys == 0:
            return 0
        places = (place for place in range(len(self._waiting) - 1, 0, -1) if self._waiting[place].key)
        return next((place for place in places if self._waiting[place].due <= now), 0)

    def _pop(self) -> Coded:
        coded = self._waiting.popleft()
        self._bytes -= len(coded.data)
        self._keys -= coded.key
        return coded

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._pop()
        self._dropped(count)
