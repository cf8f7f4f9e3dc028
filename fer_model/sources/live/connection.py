"""One connection to a live source: a thread that opens it, reads its packets and closes it.

FFmpeg cannot be interrupted from another thread, and a container that another thread closes is a segmentation fault.
A connection is therefore given up and never joined: its thread ends by itself at FFmpeg's timeout.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from threading import Event, Lock, Thread
from time import monotonic, time
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from fer_model.errors import PARSER_ERRORS, FerModelError
from fer_model.sources.live import opening
from fer_model.sources.live.loss import FAILED, LIST_ENDED, NO_VIDEO, QUIET_END, SILENT, STUCK, Loss, loss_of
from fer_model.sources.live.opening import Source, opened
from fer_model.sources.live.packets import Arrived, Format
from fer_model.sources.upright import Turn, Upright

UNTIMED = ("mpjpeg", "mjpeg", "h264", "hevc")
"""Containers without timestamps: FFmpeg makes them up, 40 ms apart."""

BURST_S = 0.3
"""So long after its last packet a segment is complete."""

FIRST_BURST_S, LONGEST_BURST_S = 5.0, 0.4
"""So long at most the first segment is waited for, and later ones: over a slow network a segment comes packet by
packet, and pictures would be too old when it is complete."""

START_S = 0.2
"""The first packets come together, those that were read to find out the format: so long they are waited for."""

MOST_FPS = 240
"""FFmpeg gives the ticks of the clock, 90,000 a second, for a frame rate that it could not find out."""

MOST = 4000
"""Packets that may wait here; beyond, the reading waits."""

_numbers = count()
_given_up: list[tuple[Thread, float]] = []
_lock = Lock()


class Connection:
    """Reads one source until it ends or is given up. Its packets are taken by `arrived`; `wake` is called for each."""

    def __init__(self, source: Source, wake: Callable[[], None]) -> None:
        self._source, self._wake = source, wake
        self._packets: deque[Arrived] = deque()
        self._over = Event()
        self.format: Format | None = None
        """None until it is open."""
        self.in_bursts = False
        self.loss: Loss | None = None
        """Why it ended; None while it is read."""
        self._has_begun = False
        self.sign = monotonic()
        """When it last gave a sign of life."""
        self._thread = Thread(target=self._run, daemon=True, name="stream connection")
        self._thread.start()

    def arrived(self, now: float) -> list[Arrived]:
        """The packets that have come; of a burst all together, if it is complete soon."""
        waiting = len(self._packets)
        if waiting == 0 or (self._is_incomplete(now) and waiting < MOST and self.loss is None):
            return []
        self._has_begun = True
        return [self._packets.popleft() for _ in range(waiting)]

    def _is_incomplete(self, now: float) -> bool:
        waited = now - self._packets[0].monotonic
        longest = LONGEST_BURST_S if self._has_begun else FIRST_BURST_S
        if self.in_bursts and waited < longest and now - self.sign < BURST_S:
            return True
        return not self._has_begun and waited < START_S

    @property
    def has_ended(self) -> bool:
        """Whether no packet will come any more, and none is waiting."""
        return self.loss is not None and not self._packets

    def give_up(self) -> None:
        """Its packets are not wanted any more. Returns at once."""
        self._over.set()
        self._packets.clear()
        note_given_up(self._thread, self._source.patience_s)

    def _run(self) -> None:
        av.logging.set_level(None)  # its lines contain addresses with their passwords
        loss, begun = FAILED, monotonic()
        try:
            loss = self._read()
        except (av.FFmpegError, FerModelError, *PARSER_ERRORS) as error:
            loss = loss_of(error, self._source.uri)
            if loss is STUCK and self.format is not None:
                loss = SILENT
            if loss is NO_VIDEO and self.format is None and monotonic() - begun >= opening.OPEN_S:
                loss = STUCK  # FFmpeg's RTSP client takes an answer that does not come for an invalid one
        finally:
            self.loss = loss
            self._wake()

    def _read(self) -> Loss:
        pace = Pace(self._over)
        while not self._over.is_set():
            with opened(self._source) as (container, stream):
                self.in_bursts = container.format.name == "hls"
                recorded = container.duration is not None and self._source.scheme in ("file", "http", "https")
                if self.in_bursts and recorded:
                    return LIST_ENDED
                if self.in_bursts and self._source.read_s < opening.SEGMENTS_S:
                    self._source = replace(self._source, in_segments=True)
                    continue  # its segments may come further apart than was waited for
                found = _format(stream)
                if self.format is None:
                    self.format = replace(found, turn=self._turn())
                elif found.extradata != self.format.extradata:  # of a file whose settings changed in its last lap
                    self.format = replace(found, turn=self.format.turn)
                # FLV and MP4 name a duration of live pictures too, that of what has come; those have no Content-Length.
                recorded = recorded and container.size > 0
                loss = self._packets_of(container, stream, pace if recorded or self._source.is_file else None)
            if not self._source.is_file:
                return loss
        return QUIET_END

    def _turn(self) -> Turn | None:
        """A file's. Of another source a second connection would have to decode a picture to know it."""
        if not self._source.is_file:
            return None
        with opened(self._source) as (container, stream), suppress(av.FFmpegError):
            for picture in container.decode(stream):
                return Upright(container, stream).turn(picture)
        return None

    def _packets_of(self, container: InputContainer, stream: VideoStream, pace: Pace | None) -> Loss:
        if pace is not None:
            pace.begin()
        timed = container.format.name not in UNTIMED
        for packet in container.demux(stream):
            if packet.has_sidedata("new_extradata"):
                # The source has another encoder's settings now, in a container that does not repeat them, as FLV.
                settings = bytes(packet.get_sidedata("new_extradata"))
                assert self.format is not None
                if settings != self.format.extradata:
                    self.format = replace(self.format, connection=next(_numbers), extradata=settings)
            if packet.size:
                stamp = _seconds(packet, packet.pts) if timed else None
                if pace is not None:
                    stamp = pace.wait(_seconds(packet, packet.dts), stamp)
                self._put(packet, stamp)
            if self._over.is_set():
                break
        return QUIET_END

    def _put(self, packet: Packet[Any], stamp: float | None) -> None:
        now = monotonic()
        assert self.format is not None
        arrived = Arrived(bytes(packet), packet.is_keyframe, stamp, _sent(packet), time(), now, self.format)
        self._packets.append(arrived)
        self.sign = now
        self._wake()
        while len(self._packets) > MOST and not self._over.wait(0.02):
            pass


class Pace:
    """Plays a recording at its own speed, again and again, as if its clock went on."""

    def __init__(self, over: Event) -> None:
        self._over, self._due = over, 0.0
        self._base: float | None = None

    def begin(self) -> None:
        """A lap begins."""
        self._base = None

    def wait(self, decoding: float | None, shown: float | None) -> float:
        """Waits until a packet's time of decoding; gives its time of showing on the monotonic clock."""
        start = max(monotonic(), self._due + 0.04)
        if self._base is None and decoding is not None:
            self._base = start - decoding
        self._due = start if decoding is None or self._base is None else self._base + decoding
        self._over.wait(max(0.0, self._due - monotonic()))
        return self._due if shown is None or self._base is None else self._base + shown


def note_given_up(thread: Thread, within_s: float) -> None:
    """Registers a thread that is left to end by itself, and should have ended after so many seconds."""
    with _lock:
        _given_up[:] = [each for each in _given_up if each[0].is_alive()]
        _given_up.append((thread, monotonic() + within_s))


def abandoned() -> int:
    """Threads of this process that were given up and have outlived all their timeouts: they hang in a library."""
    with _lock:
        _given_up[:] = [each for each in _given_up if each[0].is_alive()]
        return sum(monotonic() > until for _, until in _given_up)


def _format(stream: VideoStream) -> Format:
    context, rate = stream.codec_context, stream.average_rate
    return Format(
        next(_numbers),
        context.name,
        context.extradata,
        (context.width, context.height),
        context.pix_fmt,
        stream.sample_aspect_ratio,
        float(rate) if rate and rate <= MOST_FPS else None,
    )


def _seconds(packet: Packet[Any], stamp: int | None) -> float | None:
    return None if stamp is None else float(stamp * packet.time_base)


def _sent(packet: Packet[Any]) -> float | None:
    """The source's wall time of capture: `AVProducerReferenceTime.wallclock`, in microseconds, which FFmpeg's RTSP
    client fills from RTCP sender reports."""
    if not packet.has_sidedata("prft"):
        return None
    return float(struct.unpack("<q", bytes(packet.get_sidedata("prft"))[:8])[0]) / 1e6
