"""Reads a video's packets ahead of its decoding, to choose pictures that are cheap to decode."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from io import BufferedReader
from itertools import chain
from math import inf
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from fer_model.sources.clock import Clock, first_clock
from fer_model.sources.container import is_shown, opened, packets_of
from fer_model.sources.sampling import Ranked, nearest, ranker
from fer_model.sources.scan import REORDERED

AHEAD = 2 * REORDERED
"""Packets behind a picture among which all that are shown before it have come."""


@contextmanager
def scouted(
    file: BufferedReader, clock: Clock | None, start_ms: int, fps: float, on_packet: Callable[[], None]
) -> Iterator[Callable[[int], bool] | None]:
    """A function from a picture's time in ms, at or after `start_ms`, to whether `nearest` keeps it.

    None if the container's timestamps are unreliable. The file is read up to the periods after the latest time asked
    for. `on_packet` is called before each packet and each read; an exception from it ends the reading.
    """
    with opened(file, check=on_packet) as (container, stream):
        clock = clock or first_clock(container, stream)
        if not clock.ordered:
            yield None
            return
        packets = _packets(container, stream, clock, start_ms)
        yield _keeps(nearest(fps, _shown(packets, clock, start_ms, on_packet)))


def _keeps(chosen: Iterator[int]) -> Callable[[int], bool]:
    known: set[float] = set()
    latest: float = -1

    def keeps(time_ms: int) -> bool:
        nonlocal latest
        while latest <= time_ms:
            latest = next(chosen, inf)
            known.add(latest)
        return time_ms in known

    return keeps


def _packets(container: InputContainer, stream: VideoStream, clock: Clock, start_ms: int) -> Iterator[Packet[Any]]:
    """Packets from before all whose pictures are shown from `start_ms` on."""
    before = clock.last_stamp(start_ms) - AHEAD * clock.step
    try:
        container.seek(before, stream=stream)
        packets = packets_of(container, stream)
        first = next(packets, None)
        if first is not None and first.pts is not None and first.pts <= before:
            return chain([first], packets)
    except av.FFmpegError:
        pass
    container.seek(clock.first_dts, stream=stream)
    return packets_of(container, stream)


def _shown(
    packets: Iterator[Packet[Any]], clock: Clock, start_ms: int, on_packet: Callable[[], None]
) -> Iterator[Ranked]:
    """The pictures from `start_ms` on, in the order in which they are shown."""
    rank, waiting = ranker(), list[Ranked]()
    for packet in packets:
        on_packet()
        if packet.pts is None or not is_shown(packet):
            continue
        picture = clock.ms(packet.pts), rank(packet.pts, packet.is_keyframe)
        if picture[0] >= start_ms:
            heappush(waiting, picture)
        if len(waiting) > AHEAD:
            yield heappop(waiting)
    yield from sorted(waiting)
