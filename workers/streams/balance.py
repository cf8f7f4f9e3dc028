"""Shares the detector's time: while it is full, the frame rates of the streams are lowered fairly."""

from collections.abc import Sequence
from math import inf, isclose
from typing import Protocol

from workers.streams.fairness import fair_level
from workers.streams.speed import USABLE, Speed

CALM = 30
"""Seconds in a row for which all frames must fit before the limits end, so that they do not come and go."""


class Limited(Protocol):
    """A stream as far as its frame rate goes. `demand` is in frames a second."""

    @property
    def demand(self) -> float: ...

    def limit(self, fps: float | None) -> None:
        """Lowers the frame rate; None ends that."""
        ...


class Balance:
    """The limits of a hub's streams. Call `share` once a second."""

    def __init__(self, speed: Speed) -> None:
        self.speed = speed
        self._level, self._calm = inf, 0

    def share(self, streams: Sequence[Limited], throughput: float, busy: float) -> None:
        """Sets the limits by what the detector did in the last second; see `Speed.note`."""
        is_limited = self._level < inf
        is_full = self.speed.note(throughput, busy, is_limited=is_limited)
        if is_full or is_limited:
            self._set(streams, fair_level([each.demand for each in streams], USABLE * self.speed.fps))

    def _set(self, streams: Sequence[Limited], level: float) -> None:
        self._calm = self._calm + 1 if level == inf else 0
        if level == inf and self._calm < CALM:
            return
        # A limit that changes with each second's figures would only make frames come unevenly.
        if not isclose(level, self._level, rel_tol=0.05):
            self._level = level
        for each in streams:
            each.limit(self._level if each.demand > self._level else None)
