"""Scans a video's packets without decoding: the times of its pictures, its end, missing parts."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from array import array
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from io import BufferedReader
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fer_model.sources.clock import HEAD, SEEKABLE, Clock, clock_of
from fer_model.sources.container import films_of, is_shown, opened, packets_of, without_pictures
from fer_model.sources.sampling import ranker

Times = NDArray[np.int64]

REORDERED = 16
"""The most places by which codecs reorder pictures."""

DECLARING = SEEKABLE | {"flv"}
"""Containers that declare their length in the header; FFmpeg estimates that of others."""

_MOST_MS = 2**31 - 1


class Scan(NamedTuple):
    """`times` are those of all pictures in milliseconds, in order, and `ranks` their ranks (see `ranker`); None where
    these must be decoded.

    `last` is the duration and `end` the end of the last picture, in milliseconds; None if the file does not give it.
    `reached` and `declared` are the actual and the declared end of the longest stream, in seconds. `films` counts the
    candidate streams. `opens` is true if the first packet is a keyframe. `behind` is the file's position behind the
    last packet, in bytes; 0 if it is not known.
    """

    clock: Clock
    times: Times | None
    ranks: NDArray[np.int8] | None
    last: Fraction | None
    end: Fraction | None
    reached: float
    declared: float
    films: int
    opens: bool
    behind: int


def scan(file: BufferedReader, check: Callable[[], None] = lambda: None) -> Scan:
    """Reads all packets of a file; of a remote mp4 only their times are transferred.

    `check` is called before each read and each packet; an exception from it ends the reading. Raises
    `UnreadableMediaError` and `TransientMediaError`.
    """
    look = partial(_scan, check=check)
    seen = without_pictures(file, look, check)
    if seen is not None and seen.times is not None:
        return seen
    with opened(file, check=check) as (container, stream):
        return look(container, stream)


def _scan(container: InputContainer, stream: VideoStream, check: Callable[[], None]) -> Scan:
    head: list[Packet[Any]] = []
    stamps, ranks, rank = array("q"), array("b"), ranker()
    complete, last = True, (0, 0)  # pts and duration of the picture that is shown last
    ends, behind = [0] * len(container.streams), 0
    for packet in packets_of(container):
        check()
        behind = max(behind, packet.pos + packet.size if packet.pos and packet.pos > 0 else 0)
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            ends[packet.stream_index] = max(ends[packet.stream_index], stamp + (packet.duration or 0))
        if packet.stream_index != stream.index:
            continue
        if len(head) < HEAD:
            head.append(packet)
        if is_shown(packet):
            complete = complete and packet.pts is not None
            this = (packet.pts or 0, packet.duration or 0)
            last = max(last, this) if stamps else this
            stamps.append(this[0])
            ranks.append(rank(this[0], packet.is_keyframe))
    clock = clock_of(container, stream, head)
    order = np.argsort(np.array(stamps, np.int64), kind="stable")
    times = _times(clock, np.array(stamps, np.int64), order, stream) if complete else None
    ranked = None if times is None else np.array(ranks, np.int8)[order]
    reached = max(float(end * (of.time_base or 0)) for end, of in zip(ends, container.streams, strict=True))
    declared = (container.duration or 0) / av.time_base if container.format.name in DECLARING else 0.0
    length = last[1] * clock.tick_ms if 0 < last[1] <= clock.leap and not clock.counted else None
    end = None if length is None or times is None else (last[0] - clock.origin) * clock.tick_ms + length
    clock = replace(clock, ordered=times is not None)
    opens = not head or head[0].is_keyframe
    return Scan(clock, times, ranked, length, end, reached, declared, len(films_of(container)), opens, behind)


def _times(clock: Clock, stamps: Times, order: NDArray[np.intp], stream: VideoStream) -> Times | None:
    """The times in `order`, if the timestamps give the same order as the decoder."""
    if not clock.ordered or not stamps.size:
        return None
    ordered = stamps[order]
    moved = int(np.abs(order - np.arange(order.size)).max())
    gaps = np.diff(ordered)
    if moved > (REORDERED if stream.codec_context.has_b_frames else 0) or ordered[0] != clock.origin:
        return None
    if gaps.size and (gaps.min() == 0 or gaps.max() > clock.leap):
        return None
    times = clock.ms(ordered)
    return times if times[-1] < _MOST_MS else None
