"""Sampling: the choice of a video's frames to process."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, TypeVar

PERIODS = 64
"""Periods whose first time is remembered: more than decoders reorder."""

Placed = TypeVar("Placed", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Sampling:
    """Every n-th frame, or at most `fps` frames per second; by default every frame.

    With `nearest` frames that are cheap to decode are kept (see `nearest`).

    Raises:
        ValueError: `every` is not a whole number from 1, `fps` is not above 0, both are given, or `nearest` without
            `fps`.
    """

    every: int = 1
    fps: float | None = None
    nearest: bool = False

    def __post_init__(self) -> None:
        if self.every != int(self.every) or self.every < 1:
            raise ValueError(f"every must be a whole number from 1 on, not {self.every}")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise ValueError(f"fps must be a number above 0, not {self.fps}")
        if self.fps is not None and self.every != 1:
            raise ValueError("every and fps exclude each other: give one of them")
        if self.nearest and self.fps is None:
            raise ValueError("nearest needs fps")

    def coarser(self, step: int) -> "Sampling":
        """A sampling that keeps about every `step`-th of the frames that this one keeps, and no others."""
        if step == 1:
            return self
        return Sampling(self.every * step) if self.fps is None else Sampling(fps=self.fps / step)


def unaided(sampling: Sampling) -> Sampling:
    """The sampling of a video whose packets do not give the times of its pictures, so that none can be chosen ahead."""
    return replace(sampling, nearest=False)


def select(sampling: Sampling, frames: Iterable[Placed]) -> Iterator[Placed]:
    """The frames kept; each is a tuple that begins with (index, time in ms).

    `every` keeps the multiples of n. `fps` keeps the first frame of each period of 1/fps seconds,
    so that a selection restarted at a selected frame continues identically.
    """
    keeps = chooser(sampling)
    return (frame for frame in frames if keeps(frame[0], frame[1]))


def chooser(sampling: Sampling) -> Callable[[int, int], bool]:
    """A function from each frame's index and time in ms, in order, to whether it is kept.

    What `nearest` keeps does not depend on times alone: such frames have been chosen already, and all are kept.
    """
    last: int | None = None

    def keeps(index: int, time_ms: int) -> bool:
        nonlocal last
        if sampling.fps is None or sampling.nearest:
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


KEYFRAME, REFERENCE, OTHER = range(3)

Ranked = tuple[int, int]
"""A picture's time in ms and its rank: what it costs to decode."""


def ranker() -> Callable[[int, bool], int]:
    """A function from a picture's timestamp and whether it is a keyframe, in the order of decoding, to its rank.

    A picture that is shown after all that were decoded before it is counted as one that others are predicted from; most
    bidirectional pictures are not.
    """
    latest: int | None = None

    def rank(stamp: int, is_keyframe: bool) -> int:
        nonlocal latest
        leads = latest is None or stamp > latest
        latest = stamp if latest is None else max(latest, stamp)
        return KEYFRAME if is_keyframe else REFERENCE if leads else OTHER

    return rank


def nearest(fps: float, pictures: Iterable[Ranked]) -> Iterator[int]:
    """The times in ms of the pictures kept, of `pictures` in the order in which they are shown.

    Each is, of those less than half a period of 1/fps seconds from a multiple of that period, the nearest keyframe,
    else the nearest reference, else the nearest. Nothing outside of these matters, so that a selection restarted at a
    selected frame continues identically.
    """
    # Rounding as in `_period`.
    for number, near in groupby(pictures, lambda picture: math.floor((picture[0] + 0.5) * fps / 1000 + 0.5)):
        yield min((rank, abs(time_ms - 1000 * number / fps), time_ms) for time_ms, rank in near)[-1]


def _period(fps: float, time_ms: int) -> int:
    # Times are rounded to whole ms; without the half, frame 1 of 30/s (33 ms) would fall into period 0.
    return math.floor((time_ms + 0.5) * fps / 1000)
