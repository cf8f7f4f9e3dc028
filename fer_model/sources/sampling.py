"""Sampling: the choice of a video's frames to process."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

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
        # Times are rounded to whole ms; without the half, frame 1 of 30/s (33 ms) would fall into period 0.
        period = math.floor((time_ms + 0.5) * sampling.fps / 1000)
        first, last = period != last, period
        return first

    return keeps
