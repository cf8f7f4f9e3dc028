"""Captures one live source: the newest frames, or all, with their times, through every failure of the source."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic, time
from typing import Any, Literal, cast

from av.video.frame import VideoFrame

from fer_model.errors import StreamAddressError, UnreadableMediaError
from fer_model.sources.live.address import Login
from fer_model.sources.live.backlog import STALE_S, Backlog, Newest
from fer_model.sources.live.connection import Connection, note_given_up
from fer_model.sources.live.line import Line, Pauses
from fer_model.sources.live.opening import Source
from fer_model.sources.live.packets import CaptureEvent, Coded, Format, LiveFrame
from fer_model.sources.live.pictures import Converter, Decoder, shown_size
from fer_model.sources.live.source_clock import Rate, SourceClock, Steady
from fer_model.sources.live.spool import LIMIT, Spool
from fer_model.sources.live.watching import Figures, Tally, Watch
from fer_model.sources.roots import check_permitted

TICK_S = 0.1
MOST_FRAMES = 16
"""Decoded frames that wait to be taken: of `realtime` the newest; with `everything` decoding waits."""

MOST_EVENTS = 1000
"""Events kept for a caller that does not fetch them."""

STOP_S = 10.0
"""The decoding thread is never blocked: it has ended by then."""


class Capture:
    """Reads a source on threads of its own until it is stopped; it never ends by itself.

    One thread decodes and chooses, and one for each connection reads: only that one may be blocked by the network, and
    it is given up when it is. With `realtime` the newest frames wait to be taken, for `STALE_S`; with `everything` all,
    undecoded, in files without names in `spool`. `on_ready` is called from the decoding thread when a frame is there.

    Raises:
        StreamAddressError: the address lies outside `roots` (see `check_permitted`).
    """

    def __init__(
        self,
        uri: str,
        *,
        login: Login | None = None,
        fps: float | None = None,
        policy: Literal["realtime", "everything"] = "realtime",
        spool: Path | None = None,
        on_ready: Callable[[], None] = lambda: None,
        roots: Sequence[str] = (),
        pauses: Pauses | None = None,
        spool_limit: int = LIMIT,
    ) -> None:
        try:
            check_permitted(uri, roots)
        except UnreadableMediaError as error:
            raise StreamAddressError(str(error)) from None
        self._on_ready, self._realtime = on_ready, policy == "realtime"
        self._lock, self._woken, self._stopped = Lock(), Event(), Event()
        self._frames: deque[LiveFrame] = deque()
        self._events: deque[CaptureEvent] = deque(maxlen=MOST_EVENTS)
        self._tally = Tally(fps)
        self._rate, self._limit = Rate(fps), Rate(None)
        self._line = Line(Source(uri, login, roots), self._woken.set, self._note, pauses or Pauses())
        self._backlog: Backlog = (
            Newest(partial(self._tally.skip, "stale")) if self._realtime else Spool(spool, self._overflow, spool_limit)
        )
        self._decoder, self._converter, self._steady = Decoder(), Converter(), Steady()
        self._read: tuple[Connection, SourceClock] | None = None
        self._watch = Watch(self._note)
        self._full = False
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, daemon=True, name="stream decoding")
        self._thread.start()

    def take(self, most: int = 1) -> list[LiveFrame]:
        """At most so many frames, the oldest first; never waits. Of `realtime` those that are stale are dropped."""
        with self._lock:
            while self._realtime and self._frames and monotonic() - self._frames[0].due > STALE_S:
                self._frames.popleft()
                self._tally.skip_chosen("stale")
            taken = [self._frames.popleft() for _ in range(min(most, len(self._frames)))]
        if taken and not self._realtime:
            self._woken.set()
        return taken

    def events(self) -> list[CaptureEvent]:
        """What has happened since the last call. Raises what has ended it, such as a lack of threads or of memory."""
        if self._failure is not None:
            raise self._failure
        return [self._events.popleft() for _ in range(len(self._events))]

    def figures(self) -> Figures:
        line, read = self._line, self._read
        source_fps = read[0].format.fps if read and read[0].format else None
        return self._tally.figures(line.state, line.reconnects, self._watch.clock, source_fps)

    def limit_rate(self, fps: float | None) -> None:
        """Lowers the rate below `fps`; frames that are left out for it count as overload."""
        self._limit.fps = fps

    def stop(self) -> None:
        """Ends it. Returns at once: a thread that is blocked is given up, and ends by itself."""
        self._stopped.set()
        self._woken.set()
        note_given_up(self._thread, STOP_S)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._line.look(monotonic(), self._backlog.empty())
                self._collect()
                if not self._decode_next():
                    due = min(self._backlog.due(), self._line.due()) - monotonic()
                    self._woken.wait(max(0.001, min(TICK_S, due)))
                    self._woken.clear()
        except Exception as error:
            self._failure = error
        finally:
            self._line.give_up()
            self._backlog.close()
            self._frames.clear()

    def _collect(self) -> None:
        """Moves what has arrived to the backlog."""
        connection, now = self._line.connection, monotonic()
        arrived = connection.arrived(now) if connection else []
        if connection is None or not arrived or connection.format is None:
            return
        if self._read is None or self._read[0] is not connection:
            self._read = connection, SourceClock(connection.in_bursts)
        for coded in self._read[1].settle(arrived):
            self._backlog.put(coded)
        self._tally.arrived(len(arrived))
        if len(self._frames) >= MOST_FRAMES and any(packet.key for packet in arrived):
            # Decoding waits for the frames to be taken: packets are the only sign of the source.
            self._line.picture(now, _description(connection.format.size, connection.format))

    def _decode_next(self) -> bool:
        """Decodes one packet; False if none is due, or the frames of `everything` have not been taken."""
        if self._full and self._backlog.empty():
            self._full = False
            self._note("degraded", "no pictures are dropped any more")
        if not self._realtime and len(self._frames) >= MOST_FRAMES:
            return False
        coded = self._backlog.get(monotonic())
        if coded is None:
            return False
        frames, failed = self._decoder(coded)
        self._tally.skip("decode", failed)
        for frame in frames:
            self._offer(frame, coded)
        return True

    def _offer(self, frame: VideoFrame, coded: Coded) -> None:
        """Keeps a decoded picture to be taken, if the rate includes it."""
        now, size = monotonic(), shown_size(frame, self._decoder.aspect(), coded.format.turn)
        if self._line.connection and self._line.connection.format is coded.format:  # not of one that is lost by now
            self._line.picture(now, _description(size, coded.format))
        self._watch.see(now, size, coded.clock, self._read[1].off_by if self._read else None)
        pts = cast(int, frame.pts)
        at_ms = self._steady(pts, round(time() * 1000))
        if not self._rate.wants(at_ms):
            return
        self._tally.want()
        if not self._limit.wants(at_ms):
            self._tally.skip_chosen("overload")
            return
        due = coded.due + (pts - coded.at_ms) / 1000
        convert = partial(self._converter, frame, size, coded.format.turn)
        with self._lock:
            self._frames.append(LiveFrame(at_ms, size, coded.clock, due, convert))
            if self._realtime and len(self._frames) > MOST_FRAMES:
                self._frames.popleft()
                self._tally.skip_chosen("stale")
        self._on_ready()

    def _overflow(self, pictures: int) -> None:
        self._tally.skip("overload", pictures)
        if not self._full:
            self._full = True
            self._note("degraded", "the disk or its share for this stream is full; the oldest pictures are dropped")

    def _note(self, kind: Any, detail: str) -> None:
        self._events.append(CaptureEvent(round(time() * 1000), kind, detail))


def _description(size: tuple[int, int], format: Format) -> str:
    rate = f", {format.fps:.3g} frames a second" if format.fps else ""
    return f"{size[0]}x{size[1]}, {format.codec}{rate}"
