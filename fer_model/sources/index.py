"""The index of a video: the time of each picture, read from its packets without decoding."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BufferedReader
from math import ceil

import numpy as np
from numpy.typing import NDArray

from fer_model.errors import PARSER_ERRORS, UnreadableMediaError
from fer_model.sources.clock import SEEKABLE
from fer_model.sources.container import opened
from fer_model.sources.identity import UNKNOWN, Identity, identity_of
from fer_model.sources.mp4 import recordings_in
from fer_model.sources.opening import open_media
from fer_model.sources.remote import RemoteFile
from fer_model.sources.scan import Scan, Times, scan
from fer_model.sources.upright import Upright
from fer_model.sources.video import frames_from

_PADDING, _PAGE = 2**14, 2**16
"""Bytes that may follow the position of the last packet: padding, or a page of Ogg, which begins at that position."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoIndex:
    """The properties of a video that its packets and first picture give.

    `width` and `height` are in pixels, as a viewer shows it; `fps` is the average number of pictures per
    second; `duration_ms` reaches to the end of the last picture. `times_ms` has the time of every picture in
    the order in which they are shown, in whole milliseconds from the first. Where `segmentable` is false, every piece
    is read from the beginning, because the server cannot do better or because `ordered` is false: the container's
    timestamps or keyframes are unreliable, and every picture is counted. `warning` is a sentence for the user: only a
    part can be read, or which of several streams was taken. `identity` is that of the file that was read; unknown for
    one that is still being written. `ranks` says of each picture what it costs to decode (see `ranker`); None where
    `ordered` is false.
    """

    width: int
    height: int
    fps: float
    duration_ms: int
    times_ms: Times
    segmentable: bool
    ordered: bool = True
    warning: str | None = None
    identity: Identity = UNKNOWN
    ranks: NDArray[np.int8] | None = None


def index_video(
    uri: str,
    roots: Sequence[str] = (),
    check: Callable[[], None] = lambda: None,
    expected: Identity = UNKNOWN,
) -> VideoIndex:
    """Reads all packets of a video; decodes its first picture, or all where the packets do not give the times.

    `check` is called before each read and each packet; an exception from it ends the reading.

    Raises:
        UnreadableMediaError: one sentence that begins with the path: outside `roots`, missing, empty, not the
            `expected` one, not a video, truncated before its index, without a video stream, of an unknown codec, or
            without a picture.
        TransientMediaError: a server does not answer.
    """
    with open_media(uri, roots, expected) as file:
        try:
            return _index(file, check)
        except PARSER_ERRORS as error:
            raise UnreadableMediaError(f"{file.name}: is damaged ({error or type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class _Look:
    """What the decoded pictures give: the first one, or all where the packets give no times."""

    container: str
    stream: int | None
    coded: tuple[int, int]
    shown: tuple[int, int]
    lost_ms: int
    times: Times


def _index(file: BufferedReader, check: Callable[[], None]) -> VideoIndex:
    identity = identity_of(file)
    found = scan(file, check)
    look = _look(file, found, check)
    times = look.times if found.times is None else found.times
    duration_ms = max(1, _end(times, found))
    # Each piece fetches the whole file, so there should be few.
    segmentable = found.times is not None and (not isinstance(file.raw, RemoteFile) or file.raw.parts)
    grew = (identity_of(file).size or 0) > (identity.size or 0)
    notes = [*_incomplete(found, look, grew), *_unread(file, found, look), *_chosen(found, look)]
    warning = f"{file.name}: {'; '.join(notes)}" if notes else None
    fps = 1000 * len(times) / duration_ms
    return VideoIndex(
        *look.shown,
        fps,
        duration_ms,
        times,
        segmentable,
        found.times is not None,
        warning,
        UNKNOWN if grew else identity,
        found.ranks,
    )


def _end(times: Times, found: Scan) -> int:
    """The end of the last picture in ms: from the file, else one median distance after its time."""
    if found.end is not None:
        return ceil(found.end)
    if found.last is not None:
        return round(int(times[-1]) + found.last)
    usual = np.median(np.diff(times)) if len(times) > 1 else float(found.clock.step * found.clock.tick_ms)
    return round(times[-1] + usual)


def _look(file: BufferedReader, found: Scan, check: Callable[[], None]) -> _Look:
    with opened(file, 1 if found.times is not None else 0, check) as (container, stream):
        clock, upright = found.clock, Upright(container, stream)
        frames = frames_from(container, stream, clock=clock, on_packet=check)
        first = next(frames, None)
        if first is None:
            raise UnreadableMediaError(f"{file.name}: no picture in it can be decoded")
        shown = upright.shown(upright.square(first.picture))
        stamp = first.picture.pts
        # Where timestamps jump, the first picture's is arbitrary; then only the keyframe flag shows a loss.
        known = stamp is not None and not clock.counted and (clock.ordered or not found.opens)
        lost_ms = max(0, clock.ms(stamp)) if known and stamp is not None else 0
        rest = () if clock.ordered else (frame.time_ms for frame in frames)
        times = np.fromiter((first.time_ms, *rest), np.int64)
        coded = (stream.width, stream.height)
        return _Look(container.format.name, stream.index, coded, shown, lost_ms, times)


def _incomplete(found: Scan, look: _Look, grew: bool) -> list[str]:
    """The parts of the file that cannot be read, as clauses of a sentence."""
    if grew:
        return ["was still being written while it was looked into; what came after that is left out"]
    notes = []
    if look.lost_ms:
        notes.append(f"begins between two keyframes: its first {look.lost_ms / 1000:.2f} s cannot be decoded")
    # Containers declare their length with a small error, mostly of one picture.
    if found.declared - found.reached > max(0.5, 0.02 * found.declared):
        notes.append(f"ends after {found.reached:.1f} s of {found.declared:.1f} s: the file is truncated")
    return notes


def _unread(file: BufferedReader, found: Scan, look: _Look) -> list[str]:
    """Recordings that were joined byte by byte and that the container does not allow: FFmpeg stops after the first."""
    size = identity_of(file).size or 0
    unread = size - found.behind if found.behind else 0
    if unread <= 0.05 * size:
        return []
    # The pieces of a stream may each bring the same index: then all of them are read.
    if (recordings := recordings_in(file)) > 1:
        return [f"holds {recordings} recordings, one after the other, of which only the first can be read"]
    # The other containers have an index at their end.
    if look.container not in SEEKABLE and unread > (_PAGE if look.container == "ogg" else _PADDING):
        return [f"can be read up to {found.behind:,} of its {size:,} bytes; the rest is damaged, or another recording"]
    return []


def _chosen(found: Scan, look: _Look) -> list[str]:
    if found.films == 1:
        return []
    width, height = look.coded
    return [f"of its {found.films} video streams number {look.stream} ({width} x {height}) was taken"]
