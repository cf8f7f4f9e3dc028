"""Reads the pictures of a video or of one segment."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from heapq import heappop, heappush
from io import BufferedReader
from itertools import chain, islice, takewhile
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from fer_model.errors import UnreadableMediaError
from fer_model.sources.clock import HEAD, Clock, clock_of
from fer_model.sources.container import decode, is_shown, opened, packets_of, without_pictures
from fer_model.sources.identity import UNKNOWN, Identity
from fer_model.sources.opening import open_media
from fer_model.sources.sampling import Sampling, select, spare
from fer_model.sources.scan import scan
from fer_model.sources.upright import Upright
from fer_model.types import Frame

_BACK_MS = (0, 1000, 10_000, 60_000)
"""Distances in ms before the start at which a keyframe is tried, in turn, before the whole file is decoded."""

EVERY = Sampling()
HELD = 8
"""Pictures held back after a gap, in case earlier ones follow."""


class Decoded(NamedTuple):
    """A decoded picture, not yet converted; `place` counts from the first one at or after the start."""

    place: int
    time_ms: int
    picture: VideoFrame


def read_video(
    uri: str,
    *,
    start_ms: int = 0,
    end_ms: int | None = None,
    start_frame: int = 0,
    ordered: bool = True,
    sampling: Sampling | None = None,
    threads: int = 0,
    roots: Sequence[str] = (),
    expected: Identity = UNKNOWN,
    on_packet: Callable[[], None] = lambda: None,
) -> Iterator[Frame]:
    """The sampled frames of a video whose time lies in [start_ms, end_ms), in the order in which they are shown.

    `start_frame` is the index, in the whole video, of the first frame at or after `start_ms`; times count from
    the video's first frame and agree with `index_video`, whose `ordered` a piece needs. Packets that cannot be
    decoded are skipped; the frames after them keep their index. `threads` is the number of decoding threads (0: half
    the processors, to leave the rest for the networks). Memory does not grow with the length. `on_packet` is called
    before each packet and each read; an exception from it ends the reading.

    Raises:
        UnreadableMediaError: the file lies outside `roots`, is not the `expected` one, is not a video that can be read,
            or no picture of the piece can be decoded.
        TransientMediaError: a server does not answer; with the last frame, if that happens in the middle.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_media(uri, roots, expected))
        clock = _clock_of(file, bool(start_ms) or end_ms is not None, on_packet)
        container, stream = stack.enter_context(opened(file, threads or _threads(), on_packet))
        upright = Upright(container, stream)  # before the decoder changes the stream's properties
        chosen = sampling or Sampling()
        frames = frames_from(container, stream, start_ms, clock, on_packet, ordered, chosen)
        first = next(frames, None)
        if first is None:
            raise UnreadableMediaError(f"{file.name}: no picture {_where(start_ms)} can be decoded")
        piece = takewhile(lambda frame: end_ms is None or frame.time_ms < end_ms, chain([first], frames))
        numbered = (frame._replace(place=start_frame + frame.place) for frame in piece)
        squared = (frame._replace(picture=upright.square(frame.picture)) for frame in numbered)
        for index, time_ms, picture in select(chosen, squared):
            yield Frame(index, time_ms, upright(picture))


def _threads() -> int:
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _where(start_ms: int) -> str:
    return f"after {start_ms / 1000:.1f} s" if start_ms else "in it"


def _clock_of(file: BufferedReader, part: bool, check: Callable[[], None]) -> Clock | None:
    """The clock of the index; None if the first packets are enough to determine it.

    Whether the timestamps behind these are reliable, a piece learns from `ordered`.
    """
    return without_pictures(file, _first_clock, check) if part else scan(file, check).clock


def _first_clock(container: InputContainer, stream: VideoStream) -> Clock:
    return clock_of(container, stream, list(islice(packets_of(container, stream), HEAD)))


def frames_from(
    container: InputContainer,
    stream: VideoStream,
    start_ms: int = 0,
    clock: Clock | None = None,
    on_packet: Callable[[], None] = lambda: None,
    ordered: bool = True,
    sampling: Sampling = EVERY,
) -> Iterator[Decoded]:
    """The pictures at or after `start_ms`, as decoded from the nearest keyframe before it.

    With a known clock the beginning of the file is not read. `on_packet` and `ordered` are as in
    `read_video`. Pictures that `sampling` would not keep, and that no other is predicted from, may be missing; the
    places of the others stay.
    """
    packets = _reported(container, stream, on_packet)
    head = list(islice(packets, HEAD)) if clock is None else []
    clock = clock or clock_of(container, stream, head)
    if not (ordered and clock.ordered):
        return _counted(stream, chain(head, packets), clock, start_ms)
    run = None
    if start_ms:
        seeks = (_run_from(container, stream, clock, start_ms, back_ms, on_packet, sampling) for back_ms in _BACK_MS)
        run = next(filter(None, seeks), None)
        if run is None:
            container.seek(clock.first_dts, stream=stream)
            head, packets = [], _reported(container, stream, on_packet)
    frames = run or _decoded(stream, chain(head, packets), clock, start_ms, sampling)
    # After damage, earlier pictures may follow later ones.
    return (frame for frame in frames if frame.time_ms >= start_ms)


def _reported(container: InputContainer, stream: VideoStream, on_packet: Callable[[], None]) -> Iterator[Packet[Any]]:
    for packet in packets_of(container, stream):
        on_packet()
        yield packet


def _run_from(
    container: InputContainer,
    stream: VideoStream,
    clock: Clock,
    start_ms: int,
    back_ms: int,
    on_packet: Callable[[], None],
    sampling: Sampling,
) -> Iterator[Decoded] | None:
    """Pictures from the keyframe at or before `start_ms - back_ms`; None if they begin after `start_ms`."""
    try:
        container.seek(clock.last_stamp(start_ms - back_ms), stream=stream)
    except av.FFmpegError:
        return None
    packets = _reported(container, stream, on_packet)
    key = next(packets, None)
    # Pictures shown before their keyframe but stored after it (open GOP) reference pictures before the keyframe.
    if key is None or key.pts is None or clock.ms(key.pts) > start_ms:
        return None
    run = _decoded(stream, chain([key], packets), clock, start_ms, sampling)
    first = next(run, None)
    # After a false keyframe some decoders give no pictures until the next one, and others give wrong pictures.
    if first is None or first.time_ms > start_ms or first.picture.pict_type != PictureType.I:
        return None
    return chain([first], run)


def _decoded(
    stream: VideoStream, packets: Iterable[Packet[Any]], clock: Clock, start_ms: int, sampling: Sampling
) -> Iterator[Decoded]:
    """Every picture that `packets` yield; only those from `start_ms` on advance the place.

    The decoder leaves out those that are spare and that no other picture is predicted from: the others are the same.

    The place is the picture's rank among the packets, not among what could be decoded, so that a damaged
    packet does not shift the pictures after it. After damage decoders may also give pictures out of order, so those
    after a gap are held back (`HELD`).
    """
    waiting: list[int] = []
    due_soon: list[int] = []  # of `waiting` those that the decoder does not leave out
    held: list[tuple[int, int, VideoFrame]] = []
    is_spare, may_leave_out = spare(sampling, start_ms), _has_one_layer(stream)
    place, number = -1, 0
    for packet in chain(packets, (None,)):
        due = None if packet is None or not is_shown(packet) else packet.pts
        left_out = may_leave_out and due is not None and is_spare(clock.ms(due))
        if due is not None and clock.ms(due) >= start_ms:
            heappush(waiting, due)
            if not left_out:
                heappush(due_soon, due)
        stream.codec_context.skip_frame = "NONREF" if left_out else "DEFAULT"
        for picture in decode(stream, packet):
            if picture.pts is None:
                continue
            if (time_ms := clock.ms(picture.pts)) < start_ms:
                yield Decoded(place, time_ms, picture)
                continue
            number += 1
            heappush(held, (picture.pts, number, picture))
        while held and (packet is None or len(held) > HELD or not due_soon or held[0][0] <= due_soon[0]):
            stamp, _, picture = heappop(held)
            _pass(due_soon, stamp)
            # Damaged and late pictures are dropped.
            if passed := _pass(waiting, stamp):
                place += passed
                yield Decoded(place, clock.ms(stamp), picture)


def _has_one_layer(stream: VideoStream) -> bool:
    """Whether what a decoder calls a picture that no other is predicted from is one.

    In HEVC pictures of a higher temporal layer may be predicted from it (H.265, 7.4.2.2); the number of layers is in
    the configuration record (ISO/IEC 14496-15, 8.3.3.1) or in the video parameter set (H.265, 7.3.2.1).
    """
    if stream.codec_context.name != "hevc":
        return True
    data = bytes(stream.codec_context.extradata or b"")
    if data[:1] == b"\x01":
        return len(data) > 21 and data[21] >> 3 & 7 == 1
    start = data.find(b"\0\0\1\x40\1")
    return start >= 0 and len(data) > start + 6 and data[start + 6] >> 1 & 7 == 0


def _counted(stream: VideoStream, packets: Iterable[Packet[Any]], clock: Clock, start_ms: int) -> Iterator[Decoded]:
    """Every picture from `start_ms` on, decoded from the beginning: its place is its rank among the decoded ones."""
    timeline, place = clock.timeline(), -1
    for packet in chain(packets, (None,)):
        for picture in decode(stream, packet):
            time_ms = clock.ms(clock.origin + timeline.at(None if clock.counted else picture.pts))
            if time_ms >= start_ms:
                place += 1
                yield Decoded(place, time_ms, picture)


def _pass(waiting: list[int], stamp: int) -> int:
    """Pops the packets up to the one shown at `stamp` from the heap; gives their number."""
    before = len(waiting)
    while waiting and waiting[0] < stamp:
        heappop(waiting)
    if waiting and waiting[0] == stamp:
        heappop(waiting)
    return before - len(waiting)
