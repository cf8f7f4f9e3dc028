"""Presentation times of pictures, from reliable and from unreliable timestamps."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import ceil
from typing import Any, TypeVar

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fer_model.sources.container import is_shown, packets_of

HEAD = 64
"""Packets among which the first presented picture is: codecs reorder by at most 16."""

# FFmpeg's names of the containers whose seeking and keyframe flags are reliable.
SEEKABLE = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"))

RESTARTING = frozenset(("mpegts", "mpeg", "mpegvideo"))
"""Containers whose clock may restart anywhere: broadcasts and concatenated recordings."""

LEAP_S = 10
"""A longer gap in such a container is a restart of the clock (FFmpeg's `dts_delta_threshold`)."""

LONGEST_GAP_S = 24 * 3600
"""A longer gap is an error in any container."""

REPEATS = 1
"""Repetitions of a timestamp that are accepted; with more the timestamps are unreliable."""

Ticks = TypeVar("Ticks", int, NDArray[np.int64])


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns timestamps into milliseconds since the first presented picture.

    Where `ordered` is false, the packets' timestamps are out of order, repeat, jump or are missing: times then come
    from the decoded pictures (`Timeline`). Where `counted` is true, the pictures, in their order, have the times of
    decoding of the packets, or follow each other by one step where there are none.
    `first_dts` is the timestamp to seek to for the first packet. `step` is the usual distance of two pictures, and
    `leap` the longest distance that is accepted, in ticks.
    """

    origin: int
    first_dts: int
    tick_ms: Fraction
    ordered: bool
    counted: bool
    step: int
    leap: int

    def ms(self, stamp: Ticks) -> Ticks:
        """Milliseconds, halves rounded up; also for arrays."""
        numerator, denominator = self.tick_ms.numerator, self.tick_ms.denominator
        return (2 * (stamp - self.origin) * numerator + denominator) // (2 * denominator)

    def last_stamp(self, time_ms: int) -> int:
        """The latest timestamp at or before `time_ms`."""
        return self.origin + ceil((time_ms + Fraction(1, 2)) / self.tick_ms) - 1

    def timeline(self) -> Timeline:
        return Timeline(self.step, self.leap)


def first_clock(container: InputContainer, stream: VideoStream) -> Clock:
    """The clock, from the first `HEAD` packets."""
    return clock_of(container, stream, list(islice(packets_of(container, stream), HEAD)))


def clock_of(container: InputContainer, stream: VideoStream, head: Sequence[Packet[Any]]) -> Clock:
    """The clock of a stream whose first `HEAD` packets are `head`."""
    shown = [packet for packet in head if is_shown(packet)]
    stamps = [packet.pts for packet in shown if packet.pts is not None]
    name = container.format.name
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    if not Fraction(1, 3600) <= rate <= 1000:
        rate = Fraction(25)
    tick = stream.time_base or 1 / rate
    step = max(1, round(1 / rate / tick))
    leap = round((LEAP_S if name in RESTARTING else LONGEST_GAP_S) / tick)
    # AVI has no presentation times: FFmpeg's guesses are right only without reordering.
    reordered = name == "avi" and any(packet.pts != packet.dts for packet in shown)
    if reordered or not stamps:
        return Clock(0, 0, 1000 * tick, ordered=False, counted=True, step=step, leap=leap)
    origin, ordered = min(stamps), name in SEEKABLE and len(stamps) == len(shown)
    first_dts = origin if head[0].dts is None else head[0].dts
    return Clock(origin, first_dts, 1000 * tick, ordered, False, step, leap)


class Timeline:
    """Monotonic times of pictures or sound in presentation order, from any timestamps.

    A timestamp that falls, jumps or is missing counts as one step after the one before it, and later ones continue
    from there; a single wrong one changes no other.
    """

    def __init__(self, step: int, leap: int) -> None:
        """Both in ticks: the initial distance of two pictures, and the longest one that is accepted."""
        self._step, self._leap = step, leap
        self._last: int | None = None
        self._shifts: tuple[int, ...] = ()  # offsets from timestamps to times: the present one and the one before it
        self._stamp: int | None = None
        self._repeats = 0

    def at(self, stamp: int | None) -> int:
        """Ticks since the first one."""
        self._repeats = self._repeats + 1 if stamp is not None and stamp == self._stamp else 0
        self._stamp = stamp
        expected = 0 if self._last is None else self._last + self._step
        if stamp is None or self._repeats > REPEATS:
            self._last = expected
        else:
            self._last = self._continued(stamp, expected)
        return self._last

    def _continued(self, stamp: int, expected: int) -> int:
        last = expected if self._last is None else self._last
        times = {stamp + shift: shift for shift in self._shifts if 0 <= stamp + shift - last <= self._leap}
        if not times:
            self._shifts = (expected - stamp, *self._shifts[:1])
            return expected
        time = min(times, key=lambda each: abs(each - expected))
        if times[time] != self._shifts[0]:
            self._shifts = self._shifts[::-1]
        self._step = time - last or self._step
        return time
