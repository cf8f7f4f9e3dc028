"""Sampling: the choice of a video's frames to process."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

PERIODS = 64
"""Periods whose first time is remembered: more than decoders reorder."""

Placed = TypeVar("Placed", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Sampling:
    """Every n-th frame, or at most `fps` frames per second; by default every frame.

    Raises:
        ValueError: `every` is not a whole number from 1, `fps` is not above 0, or both are given.
    """

    every: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.every != int(self.every) or self.every < 1:
            raise ValueError(f"every must be a whole number from 1 on, not {self.every}")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise ValueError(f"fps must be a number above 0, not {self.fps}")
        if self.fps is not None and self.every != 1:
            raise ValueError("every and fps exclude each other: give one of them")

    def coarser(self, step: int) -> "Sampling":
        """A sampling that keeps about every `step`-th of the frames that this one keeps, and no others."""
        return Sampling(self.every * step) if self.fps is None else Sampling(fps=self.fps / step)


def select(sampling: Sampling, frames: Iterable[Placed]) -> Iterator[Placed]:
    """The frames kept; each is a tuple that begins with (index, time in ms).

    `every` keeps the multiples of n. `fps` keeps the first frame of each period of 1/fps seconds,
    so that a selection restarted at a selected frame continues identically.
    """
    keeps = chooser(sampling)
    return (frame for frame in frames if keeps(frame[0], frame[1]))


def chooser(sampling: Sampling) -> Callable[[int, int], bool]:
    """A function from each frame's index and time in ms, in order, to whether it is kept."""
    last: int | None = None

    def keeps(index: int, time_ms: int) -> bool:
        nonlocal last
        if sampling.fps is None:
            return index % sampling.every == 0
        period = _period(sampling.fps, time_ms)
        first, last = period != last, period
        return first

    return keeps


def wanted(sampling: Sampling, start_ms: int) -> Callable[[int], bool]:
    """A function from each packet's time in ms, in the order of decoding, to whether its picture may be kept.

    It is not if it lies before `start_ms`, or if an earlier one of its period is known. Of `every` no rank is known
    before the packets between have come.
    """
    earliest: dict[int, int] = {}

    def is_wanted(time_ms: int) -> bool:
        if time_ms < start_ms or sampling.fps is None:
            return time_ms >= start_ms
        period = _period(sampling.fps, time_ms)
        known = earliest.get(period)
        earliest[period] = time_ms if known is None else min(known, time_ms)
        if len(earliest) > PERIODS:
            del earliest[next(iter(earliest))]
        return known is None or time_ms <= known

    return is_wanted


def _period(fps: float, time_ms: int) -> int:
    # Times are rounded to whole ms; without the half, frame 1 of 30/s (33 ms) would fall into period 0.
    return math.floor((time_ms + 0.5) * fps / 1000)
