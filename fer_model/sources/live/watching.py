"""What is known of a running capture: its figures, and the changes in its pictures and its clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Literal

from fer_model.sources.live.line import State
from fer_model.sources.live.packets import Clock

Cause = Literal["stale", "decode", "overload"]

RECENT_S = 5.0
"""Seconds over which `capture_fps` is measured."""

SETTLED_S = 10.0
"""After each connection it takes seconds until the first RTCP report: so long is no change of the clock."""


@dataclass(frozen=True, slots=True)
class Figures:
    """`captured` pictures came, of which `fps` includes `wanted`; of these some were skipped, by cause. `capture_fps`
    is that of the last seconds, `source_fps` the container's value. `clock` is None before the first picture.
    """

    state: State
    capture_fps: float
    captured: int
    wanted: int
    skipped: dict[Cause, int]
    reconnects: int
    clock: Clock | None
    source_fps: float | None


class Tally:
    """Counts pictures; from any thread. Of those that were not decoded, the share counts that `fps` includes."""

    def __init__(self, fps: float | None) -> None:
        self._fps, self._lock = fps, Lock()
        self._captured, self._wanted = 0, 0.0
        self._skipped: dict[Cause, float] = {"stale": 0.0, "decode": 0.0, "overload": 0.0}
        self._recent: deque[tuple[float, int]] = deque()

    def arrived(self, pictures: int) -> None:
        with self._lock:
            self._captured += pictures
            self._recent.append((monotonic(), pictures))

    def want(self) -> None:
        """A decoded picture is one that `fps` includes."""
        with self._lock:
            self._wanted += 1

    def skip_chosen(self, cause: Cause) -> None:
        """A wanted picture was skipped."""
        with self._lock:
            self._skipped[cause] += 1

    def skip(self, cause: Cause, pictures: int) -> None:
        """Undecoded pictures were skipped."""
        with self._lock:
            share = min(1.0, self._fps / (self._rate() or self._fps)) if self._fps else 1.0
            self._wanted += share * pictures
            self._skipped[cause] += share * pictures

    def figures(self, state: State, reconnects: int, clock: Clock | None, source_fps: float | None) -> Figures:
        with self._lock:
            skipped = {cause: round(number) for cause, number in self._skipped.items()}
            wanted = round(self._wanted)
            return Figures(state, self._rate(), self._captured, wanted, skipped, reconnects, clock, source_fps)

    def _rate(self) -> float:
        """Pictures a second; 0 when none has come for `RECENT_S`."""
        now = monotonic()
        while self._recent and now - self._recent[0][0] > RECENT_S:
            self._recent.popleft()
        if not self._recent:
            return 0.0
        return sum(pictures for _, pictures in self._recent) / max(1.0, min(RECENT_S, now - self._recent[0][0]))


class Watch:
    """Notes changes of the size and of the clock; `note(kind, detail)` is called for each."""

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note
        self.clock: Clock | None = None
        self._size: tuple[int, int] | None = None
        self._resized = self._agreed = 0.0
        self._distrusted = False

    def see(self, now: float, size: tuple[int, int], clock: Clock, off_by: float | None) -> None:
        """A picture, at a moment of the monotonic clock."""
        if self._size is None:
            self._size = size
        if size != self._size and now - self._resized > 1.0:  # a source that changes with each picture fills no table
            self._note("resolution", "the picture is {}x{} now, and was {}x{}".format(*size, *self._size))
            self._size, self._resized = size, now
        self._see_clock(now, clock)
        if (off_by is not None) != self._distrusted:
            self._distrusted = off_by is not None
            if off_by is not None:
                self._note("clock", f"the source's clock is off by {off_by:.1f} s and is not used")

    def _see_clock(self, now: float, clock: Clock) -> None:
        if clock == self.clock:
            self._agreed = now
        elif self.clock is None or clock == "rtcp" or now - self._agreed > SETTLED_S:
            if clock == "rtcp":
                self._note("clock", "times are those of the source's own clock (RTCP)")
            elif self.clock is not None:
                self._note("clock", "times are those of arrival: the source's own clock is not known")
            self.clock, self._agreed = clock, now
