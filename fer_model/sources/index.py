"""When each picture of a video is shown: read from its packets, without decoding them."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fer_model.errors import UnreadableMediaError
from fer_model.sources.container import HEAD, Clock, clock_of, is_shown, opened, packets_of, without_pictures
from fer_model.sources.opening import open_media
from fer_model.sources.remote import RemoteFile
from fer_model.sources.video import Upright, frames_from

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class VideoIndex:
    """What is known of a video before its pictures are looked at.

    `width` and `height` are in pixels, as a viewer shows it; `fps` is the average number of pictures per
    second; `duration_ms` reaches to the end of the last picture. `times_ms` has the time of every picture in
    the order in which they are shown, in whole milliseconds from the first. Where `segmentable` is false the
    container's timestamps or keyframes cannot be relied on: every piece is read from the beginning. `warning` is a
    sentence about a file of which only a part can be read.
    """

    width: int
    height: int
    fps: float
    duration_ms: int
    times_ms: Times
    segmentable: bool
    warning: str | None = None


def index_video(uri: str, roots: Sequence[str] = ()) -> VideoIndex:
    """Read through a video's packets; decode its first picture, or all where the packets do not tell the times.

    Raises:
        UnreadableMediaError: one sentence that begins with the path: outside `roots`, missing, empty, not a video,
            truncated before its index, without a video stream, of an unknown codec, or without a picture.
        TransientMediaError: a server does not answer.
    """
    with open_media(uri, roots) as file:
        return _index(file)


class _Scan(NamedTuple):
    """What the packets tell: the times, None if they do not; the second that any stream reaches, and should reach."""

    clock: Clock
    times: Times | None
    reached: float
    declared: float
    rate: Fraction


def _index(file: BufferedReader) -> VideoIndex:
    scan = without_pictures(file, _scan)
    if scan is None or scan.times is None:
        scan = _scanned(file)
    width, height = _size(file, scan.clock)
    times = _decoded_times(file) if scan.times is None else scan.times
    gap = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else float(1000 / scan.rate)
    duration_ms = max(1, round(times[-1] + gap))
    fps = 1000 * len(times) / duration_ms
    # Where any piece means fetching the whole file, there should be few.
    segmentable = scan.times is not None and (not isinstance(file.raw, RemoteFile) or file.raw.parts)
    return VideoIndex(width, height, fps, duration_ms, times, segmentable, _truncation(file.name, scan))


def _scanned(file: BufferedReader) -> _Scan:
    with opened(file) as (container, stream):
        return _scan(container, stream)


def _scan(container: InputContainer, stream: VideoStream) -> _Scan:
    head: list[Packet[Any]] = []
    stamps = array("q")
    complete = True
    ends = [0] * len(container.streams)
    for packet in packets_of(container):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            ends[packet.stream_index] = max(ends[packet.stream_index], stamp + (packet.duration or 0))
        if packet.stream_index != stream.index:
            continue
        if len(head) < HEAD:
            head.append(packet)
        if is_shown(packet):
            complete = complete and packet.pts is not None
            stamps.append(packet.pts or 0)
    clock = clock_of(container, stream, head)
    times = _times(clock, stamps) if complete else None
    reached = max(float(end * (of.time_base or 0)) for end, of in zip(ends, container.streams, strict=True))
    return _Scan(clock, times, reached, (container.duration or 0) / av.time_base, stream.average_rate or Fraction(25))


def _times(clock: Clock, stamps: array[int]) -> Times | None:
    ordered = np.unique(np.array(stamps, np.int64))
    exact = clock.seekable and 0 < ordered.size == len(stamps) and ordered[0] == clock.origin
    return clock.ms(ordered) if exact else None


def _size(file: BufferedReader, clock: Clock) -> tuple[int, int]:
    """Width and height of the first picture, turned upright."""
    with opened(file) as (container, stream):
        for frame in frames_from(container, stream, clock=clock):
            height, width = Upright()(frame.picture).shape[:2]
            return width, height
    raise UnreadableMediaError(f"{file.name}: no picture in it can be decoded")


def _decoded_times(file: BufferedReader) -> Times:
    with opened(file, threads=0) as (container, stream):
        return np.fromiter((frame.time_ms for frame in frames_from(container, stream)), np.int64)


def _truncation(name: str, scan: _Scan) -> str | None:
    # Containers are a little off about their own length, mostly by the last picture.
    if scan.declared - scan.reached <= max(0.5, 0.02 * scan.declared):
        return None
    return f"{name}: ends after {scan.reached:.1f} s of {scan.declared:.1f} s: the file is truncated"
