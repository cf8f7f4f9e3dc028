"""Reads the pictures of a video or of one segment."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader
from itertools import chain, islice, takewhile
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from fer_model.errors import UnreadableMediaError
from fer_model.sources.clock import HEAD, Clock, clock_of, first_clock
from fer_model.sources.container import decode, opened, packets_of, without_pictures
from fer_model.sources.decoding import Decoded, LostError, decoded
from fer_model.sources.identity import UNKNOWN, Identity, check_same
from fer_model.sources.opening import open_media
from fer_model.sources.sampling import Sampling, select, unaided, wanted
from fer_model.sources.scan import scan
from fer_model.sources.scouting import scouted
from fer_model.sources.upright import Upright
from fer_model.types import Frame

_BACK_MS = (0, 1000, 10_000, 60_000)
"""Distances in ms before the start at which a keyframe is tried, in turn, before the whole file is decoded."""

_ATTEMPTS = 3
"""Keyframes that turn out to be none, or to follow damage, before all packets are decoded."""

EVERY = Sampling()


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
    decoded are skipped; the frames after them keep their index. `threads` is the number of decoding threads (0: all
    processors for a sample, else half of them, to leave the rest for the networks). Memory does not grow with the
    length, but for the times that `nearest` chose. `on_packet` is called before each packet and each read; an exception
    from it ends the reading.

    Raises:
        UnreadableMediaError: the file lies outside `roots`, is not the `expected` one, is not a video that can be read,
            or no picture of the piece can be decoded.
        TransientMediaError: a server does not answer; with the last frame, if that happens in the middle.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_media(uri, roots, expected))
        sample = sampling or EVERY
        clock = _clock_of(file, bool(start_ms) or end_ms is not None, on_packet)
        container, stream = stack.enter_context(opened(file, threads or _threads(sample), on_packet))
        upright = Upright(container, stream)  # before the decoder changes the stream's properties
        keeps = None
        if sample.fps and sample.nearest and ordered:
            again = stack.enter_context(open_media(uri, roots, expected))
            keeps = stack.enter_context(scouted(again, clock, start_ms, sample.fps, on_packet))
        frames = frames_from(container, stream, start_ms, clock, on_packet, ordered, sample, keeps)
        first = next(frames, None)
        if first is None:
            raise UnreadableMediaError(f"{file.name}: no picture {_where(start_ms)} can be decoded")
        piece = takewhile(lambda frame: end_ms is None or frame.time_ms < end_ms, chain([first], frames))
        numbered = (frame._replace(place=start_frame + frame.place) for frame in piece)
        squared = (frame._replace(picture=upright.square(frame.picture)) for frame in numbered)
        for index, time_ms, picture in _once(keeps, squared) if keeps else select(unaided(sample), squared):
            # It may be overwritten while it is read, and the decoder conceals damage.
            check_same(file, expected)
            yield Frame(index, time_ms, upright(picture))


def _once(keeps: Callable[[int], bool], frames: Iterable[Decoded]) -> Iterator[Decoded]:
    """The frames kept, of those of one millisecond the first."""
    latest = -1
    for frame in frames:
        if frame.time_ms > latest and keeps(frame.time_ms):
            latest = frame.time_ms
            yield frame


def _threads(sampling: Sampling) -> int:
    """Of a sample decoding is the most of the work; of every frame the networks' is."""
    processors = len(os.sched_getaffinity(0))
    return processors if sampling != EVERY else max(1, processors // 2)


def _where(start_ms: int) -> str:
    return f"after {start_ms / 1000:.1f} s" if start_ms else "in it"


def _clock_of(file: BufferedReader, part: bool, check: Callable[[], None]) -> Clock | None:
    """The clock of the index; None if the first packets are enough to determine it.

    Whether the timestamps behind these are reliable, a piece learns from `ordered`.
    """
    return without_pictures(file, first_clock, check) if part else scan(file, check).clock


def frames_from(
    container: InputContainer,
    stream: VideoStream,
    start_ms: int = 0,
    clock: Clock | None = None,
    on_packet: Callable[[], None] = lambda: None,
    ordered: bool = True,
    sampling: Sampling = EVERY,
    keeps: Callable[[int], bool] | None = None,
) -> Iterator[Decoded]:
    """The pictures at or after `start_ms`, as decoded from the nearest keyframe before it.

    With a known clock the beginning of the file is not read. `on_packet` and `ordered` are as in
    `read_video`. Pictures that `sampling`, or `keeps` in its place, would not keep may be missing; the places of the
    others stay.
    """
    packets = _reported(container, stream, on_packet)
    head = list(islice(packets, HEAD)) if clock is None else []
    clock = clock or clock_of(container, stream, head)
    if not (ordered and clock.ordered):
        return _counted(stream, chain(head, packets), clock, start_ms)
    untouched = [chain(head, packets)]

    def begin(may_jump: Callable[[int | None], bool]) -> Iterator[Decoded]:
        def run(packets: Iterable[Packet[Any]]) -> Iterator[Decoded]:
            is_wanted = keeps or wanted(sampling, start_ms)
            return decoded(stream, packets, clock, start_ms, is_wanted, may_jump, on_packet)

        if start_ms:
            seeks = (_run_from(container, stream, clock, start_ms, back_ms, on_packet, run) for back_ms in _BACK_MS)
            if found := next(filter(None, seeks), None):
                return found
        elif untouched:
            return run(untouched.pop())
        container.seek(clock.first_dts, stream=stream)
        return run(_reported(container, stream, on_packet))

    return _persistent(begin)


def _persistent(begin: Callable[[Callable[[int | None], bool]], Iterator[Decoded]]) -> Iterator[Decoded]:
    """The pictures of `begin`, whose argument permits to leave out what lies before a keyframe.

    After a failure it begins anew, without that keyframe; after `_ATTEMPTS`, without any.
    """
    place, refused = -1, set[int | None]()

    def may_jump(keyframe: int | None) -> bool:
        return len(refused) < _ATTEMPTS and keyframe not in refused

    while True:
        try:
            for frame in begin(may_jump):
                # Those before the start have no place; after damage, earlier pictures may follow later ones.
                if frame.place > place:
                    place = frame.place
                    yield frame
            return
        except LostError as lost:
            refused.add(lost.keyframe)


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
    run: Callable[[Iterable[Packet[Any]]], Iterator[Decoded]],
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
    frames = run(chain([key], packets))
    first = next(frames, None)
    # After a false keyframe some decoders give no pictures until the next one, and others give wrong pictures.
    if first is None or first.time_ms > start_ms or first.picture.pict_type != PictureType.I:
        return None
    return chain([first], frames)


def _counted(stream: VideoStream, packets: Iterable[Packet[Any]], clock: Clock, start_ms: int) -> Iterator[Decoded]:
    """Every picture from `start_ms` on, decoded from the beginning: its place is its rank among the decoded ones."""
    timeline, place = clock.timeline(), -1
    decoding = deque[int]()
    for packet in chain(packets, (None,)):
        if packet is not None and packet.dts is not None:
            decoding.append(packet.dts)
        for picture in decode(stream, packet):
            stamp = (decoding.popleft() if decoding else None) if clock.counted else picture.pts
            time_ms = clock.ms(clock.origin + timeline.at(stamp))
            if time_ms >= start_ms:
                place += 1
                yield Decoded(place, time_ms, picture)
