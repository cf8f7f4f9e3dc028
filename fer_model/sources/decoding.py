"""Decodes a run of packets into placed pictures."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Any, NamedTuple

from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from fer_model.sources.clock import Clock
from fer_model.sources.container import decode
from fer_model.sources.skipping import needed

HELD = 8
"""Pictures held back after a gap, in case earlier ones follow."""

LEAVING_OUT = ("h264", "mpeg1video", "mpeg2video", "mpeg4")
"""FFmpeg's decoders that look at `skip_frame` for each packet; HEVC's does too."""


class Decoded(NamedTuple):
    """A decoded picture, not yet converted; `place` counts from the first one at or after the start."""

    place: int
    time_ms: int
    picture: VideoFrame


class LostError(Exception):
    """Where packets were left out, decoding did not go on as if they were there; `keyframe` is the next one's stamp."""

    def __init__(self, keyframe: int | None) -> None:
        super().__init__(keyframe)
        self.keyframe = keyframe


def decoded(
    stream: VideoStream,
    packets: Iterable[Packet[Any]],
    clock: Clock,
    start_ms: int,
    is_wanted: Callable[[int], bool],
    may_jump: Callable[[int | None], bool],
    on_packet: Callable[[], None],
) -> Iterator[Decoded]:
    """The pictures that `packets` yield; only those from `start_ms` on advance the place.

    Pictures whose time in ms is not wanted may be missing, the others are as if all were decoded: `needed` leaves out
    groups of packets, and the decoder those pictures that no other is predicted from. `on_packet` is called before
    each packet that is decoded.

    Raises:
        LostError: a wanted picture is damaged and the packets left out may replace it, or the first picture after them
            is not the keyframe that was to begin.
    """
    order, can_leave_out = _Order(clock, start_ms), _can_leave_out(stream)
    beginning: int | None = None  # the keyframe that was jumped to, until its picture has come

    def noted(stamp: int) -> bool:
        order.note(stamp)
        return is_wanted(clock.ms(stamp))

    def put(packet: Packet[Any] | None) -> list[VideoFrame]:
        nonlocal beginning
        pictures = decode(stream, packet)
        if beginning is not None and (pictures := _begun(pictures, beginning)):
            beginning = None
        return pictures

    for step in needed(packets, noted, may_jump):
        on_packet()
        if step.jumps or step.packet is None:
            yield from order.placed(put(None), last=True)
            if beginning is not None or (step.jumps and order.due_soon):
                raise LostError(step.due if beginning is None else beginning)
            stream.codec_context.flush_buffers()
            beginning = step.due
        if step.packet is not None:
            is_spare = can_leave_out and step.due is not None and not step.is_wanted
            stream.codec_context.skip_frame = "NONREF" if is_spare else "DEFAULT"
            if step.due is not None and not is_spare:
                order.expect(step.due)
            yield from order.placed(put(step.packet))


def _begun(pictures: list[VideoFrame], keyframe: int) -> list[VideoFrame]:
    """The pictures from a keyframe's on.

    A decoder that begins at a false keyframe gives no pictures until the next one, or wrong ones.
    """
    begun = [picture for picture in pictures if picture.pts is not None and picture.pts >= keyframe]
    if begun and (begun[0].pts != keyframe or begun[0].pict_type != PictureType.I):
        raise LostError(keyframe)
    return begun


class _Order:
    """Gives decoded pictures their places.

    The place is the picture's rank among the packets, not among what could be decoded, so that a damaged packet does
    not shift the pictures after it. After damage decoders may also give pictures out of order, so those after a gap are
    held back (`HELD`).
    """

    def __init__(self, clock: Clock, start_ms: int) -> None:
        self._clock, self._start_ms = clock, start_ms
        self._place, self._number = -1, 0
        self._waiting: list[int] = []
        self._held: list[tuple[int, int, VideoFrame]] = []
        self.due_soon: list[int] = []  # of those that wait, what the decoder is to give

    def note(self, stamp: int) -> None:
        """A picture that counts."""
        if self._clock.ms(stamp) >= self._start_ms:
            heappush(self._waiting, stamp)

    def expect(self, stamp: int) -> None:
        """A picture that the decoder is to give."""
        if self._clock.ms(stamp) >= self._start_ms:
            heappush(self.due_soon, stamp)

    def placed(self, pictures: Iterable[VideoFrame], *, last: bool = False) -> Iterator[Decoded]:
        """Those of the pictures so far whose turn it is; all of them after the `last`."""
        for picture in pictures:
            if picture.pts is None:
                continue
            if (time_ms := self._clock.ms(picture.pts)) < self._start_ms:
                yield Decoded(self._place, time_ms, picture)
                continue
            self._number += 1
            heappush(self._held, (picture.pts, self._number, picture))
        held, due_soon = self._held, self.due_soon
        while held and (last or len(held) > HELD or not due_soon or held[0][0] <= due_soon[0]):
            stamp, _, picture = heappop(held)
            _pass(due_soon, stamp)
            # Damaged and late pictures are dropped.
            if passed := _pass(self._waiting, stamp):
                self._place += passed
                yield Decoded(self._place, self._clock.ms(stamp), picture)


def _pass(waiting: list[int], stamp: int) -> int:
    """Pops the packets up to the one shown at `stamp` from the heap; gives their number."""
    before = len(waiting)
    while waiting and waiting[0] < stamp:
        heappop(waiting)
    if waiting and waiting[0] == stamp:
        heappop(waiting)
    return before - len(waiting)


def _can_leave_out(stream: VideoStream) -> bool:
    """Whether the decoder leaves out, packet by packet, just those pictures that no other is predicted from.

    libdav1d takes the setting of the first packet for all. In HEVC pictures of a higher temporal layer may be predicted
    from what the decoder would leave out (H.265, 7.4.2.2); the number of layers is in the configuration record
    (ISO/IEC 14496-15, 8.3.3.1) or in the video parameter set (H.265, 7.3.2.1).
    """
    if stream.codec_context.name != "hevc":
        return stream.codec_context.name in LEAVING_OUT
    data = bytes(stream.codec_context.extradata or b"")
    if data[:1] == b"\x01":
        return len(data) > 21 and data[21] >> 3 & 7 == 1
    start = data.find(b"\0\0\1\x40\1")
    return start >= 0 and len(data) > start + 6 and data[start + 6] >> 1 & 7 == 0
