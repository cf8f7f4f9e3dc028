"""What PyAV's containers have in common for indexing and for reading: opening, packets, time."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader
from math import ceil
from typing import Any, TypeVar

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fer_model.errors import TransientMediaError, UnreadableMediaError
from fer_model.sources.mp4 import BOXES, hollow

HEAD = 64
"""Packets that surely hold the first presented picture: codecs reorder by at most 16."""

# A playlist named .mp4 must not make us open other files or the network. FFmpeg gets its bytes from us and has to
# open nothing by itself, so the one protocol that it may use is one that there is not.
_OPTIONS = {"format_whitelist": "mov,mp4,matroska,webm,avi,mpegts", "protocol_whitelist": "none"}

# FFmpeg's name for the container, where its seek and its keyframe marks can be relied on.
_SEEKABLE = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}

VP8 = ("vp8", "libvpx")

Result = TypeVar("Result")
Ticks = TypeVar("Ticks", int, NDArray[np.int64])


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns timestamps into milliseconds since the first presented picture.

    Where the container's timestamps do not tell when a picture is shown, `counted` is true: pictures are
    then numbered in decoding order and a timestamp is such a number. `first_dts` is the timestamp to seek to for the
    first packet.
    """

    origin: int
    first_dts: int
    tick_ms: Fraction
    counted: bool
    seekable: bool

    def ms(self, stamp: Ticks) -> Ticks:
        """Milliseconds, the half rounded up; also for arrays."""
        numerator, denominator = self.tick_ms.numerator, self.tick_ms.denominator
        return (2 * (stamp - self.origin) * numerator + denominator) // (2 * denominator)

    def last_stamp(self, time_ms: int) -> int:
        """The latest timestamp that still lies before or at `time_ms`."""
        return self.origin + ceil((time_ms + Fraction(1, 2)) / self.tick_ms) - 1


class _Reader:
    """A file as FFmpeg reads it.

    FFmpeg takes an error in the middle for the end of the file, so the first one is kept for `opened` to raise.
    """

    def __init__(self, file: BufferedReader) -> None:
        self.name, self.seek, self.tell = file.name, file.seek, file.tell
        self._read = file.read
        self.error: OSError | UnreadableMediaError | None = None

    def read(self, size: int) -> bytes:
        try:
            return b"" if self.error else self._read(size)
        except (OSError, UnreadableMediaError) as error:
            self.error = error
            return b""


@contextmanager
def opened(file: BufferedReader, threads: int = 1) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container in a file, read from its beginning, and its first video stream that is no cover picture.

    Raises:
        UnreadableMediaError: also in place of every error of FFmpeg's inside the `with`.
        TransientMediaError: at the end at the latest, if the file could not be read to where it was read.
    """
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    reader = _Reader(file)
    try:
        with av.open(reader, "r", options=_OPTIONS, metadata_errors="ignore") as container:
            stream = _video_stream(container, file.name)
            stream.thread_type = "AUTO"
            stream.thread_count = threads
            yield container, stream
    except (av.FFmpegError, UnreadableMediaError) as error:
        _check(reader)
        if isinstance(error, UnreadableMediaError):
            raise
        raise UnreadableMediaError(f"{file.name}: {_complaint(head, error)}") from error
    _check(reader)


def without_pictures(file: BufferedReader, look: Callable[[InputContainer, VideoStream], Result]) -> Result | None:
    """What `look` sees in a remote mp4 whose pictures are not transferred (see `hollow`); None for other files.

    Raises:
        TransientMediaError: the server does not answer.
    """
    emptied = hollow(file)
    if emptied is None:
        return None
    try:
        with emptied, opened(emptied) as (container, stream):
            # Of this codec's packets only their contents say whether they are shown.
            return None if stream.codec_context.name in VP8 else look(container, stream)
    except TransientMediaError:
        raise
    except UnreadableMediaError:
        return None


def _check(reader: _Reader) -> None:
    if isinstance(reader.error, UnreadableMediaError):
        raise reader.error
    if reader.error is not None:
        raise UnreadableMediaError(f"{reader.name}: cannot be read ({reader.error.strerror})") from reader.error


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
            if stream.codec_context is None:
                raise UnreadableMediaError(f"{name}: its video codec is not known")
            return stream
    raise UnreadableMediaError(f"{name}: has no video stream")


def _complaint(head: bytes, error: av.FFmpegError) -> str:
    if isinstance(error, av.error.ArgumentError):  # what FFmpeg says of a format that is not among ours
        return "is of a format that is not read"
    if not isinstance(error, av.error.InvalidDataError):
        return f"cannot be read ({error.strerror})"
    if head[4:8] in BOXES:
        return "is truncated: the index at its end (moov) is missing"
    if head.startswith(b"\x1aE\xdf\xa3") or (head.startswith(b"RIFF") and head[8:12] == b"AVI "):
        return "is truncated or damaged at its beginning"
    return "is not a video (unknown format)"


def packets_of(container: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """Packets up to the end, or up to where a truncated file breaks off; of all streams if none is named."""
    try:
        # An empty packet would tell the decoder that the stream ends.
        yield from (packet for packet in container.demux(*streams) if packet.size)
    except (av.error.InvalidDataError, av.error.EOFError):
        return


def is_shown(packet: Packet[Any]) -> bool:
    """Whether a picture comes of this packet: not where an edit list cuts it away or the file breaks off."""
    if packet.is_discard or packet.is_corrupt:
        return False
    # VP8's alternate reference pictures are packets of their own; the fifth bit says 'show'.
    return packet.stream.codec_context.name not in VP8 or bool(memoryview(packet)[0] & 0x10)


def clock_of(container: InputContainer, stream: VideoStream, head: Sequence[Packet[Any]]) -> Clock:
    """The clock of a stream whose first `HEAD` packets are `head`."""
    shown = [packet for packet in head if is_shown(packet)]
    stamps = [packet.pts for packet in shown if packet.pts is not None]
    name = container.format.name
    # AVI has no presentation times: FFmpeg guesses them, rightly only where nothing is reordered.
    reordered = name == "avi" and any(packet.pts != packet.dts for packet in shown)
    if reordered or len(stamps) < len(shown) or not stamps or stream.time_base is None:
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return Clock(0, 0, 1000 / rate, counted=True, seekable=False)
    origin = min(stamps)
    return Clock(origin, head[0].dts or origin, 1000 * stream.time_base, counted=False, seekable=name in _SEEKABLE)


def decode(stream: VideoStream, packet: Packet[Any] | None) -> list[VideoFrame]:
    """The pictures that come out when `packet` goes in (None: the last ones); none for a damaged packet."""
    try:
        return stream.decode(packet)
    except (av.error.InvalidDataError, av.error.EOFError):
        return []
