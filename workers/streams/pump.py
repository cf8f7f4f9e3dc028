"""Frames of many streams into one analyser, in turn, and their faces out."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from fer_model.analysis.analyser import Analyser, SourceState
from fer_model.analysis.batcher import WAITING
from fer_model.analysis.tracking import face_tracker, lost_ms
from fer_model.sources.live.capture import Capture
from fer_model.sources.live.packets import LiveFrame
from fer_model.types import FaceObservation, Frame
from workers.batch import crops

logger = logging.getLogger(__name__)

MOST_SEEN = 20_000
"""Frames and faces of one stream that wait in memory to be committed, some 20 MB; later ones are dropped."""

IDLE_S = 0.1
DEFAULT_FPS = 25.0
"""The frame rate of a source that does not name one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A processed frame: its capture time in ms since 1970 UTC, width and height, faces, and JPEGs of them if kept."""

    at_ms: int
    size: tuple[int, int]
    faces: Sequence[FaceObservation]
    crops: Sequence[bytes]


@dataclass(eq=False)
class Feed:
    """One stream's way through the analyser. `seen` are its results in order; the writer takes them.

    `first_track` is the number of its first track. `dropped` counts the frames for which `seen` had no room, `broken`
    those that could not be converted, and `flying` are in the analyser now. `lost_ms` is how long its tracker waits.
    """

    capture: Capture
    threshold: float
    fps: float | None
    first_track: int
    keeps_crops: bool
    seen: deque[Seen] = field(default_factory=deque)
    dropped: int = 0
    flying: int = 0
    broken: int = 0
    lost_ms: float = 0.0
    _source: SourceState | None = None
    # Each is changed by one thread alone.
    _added: int = 0
    _committed: int = 0

    @property
    def source(self) -> SourceState:
        """Its threshold and its tracker, which is made with the first frame: only then the frame rate is known."""
        if self._source is None:
            rate = self.rate
            self.lost_ms = lost_ms(rate)
            self._source = SourceState(self.threshold, face_tracker(rate, self.first_track))
        return self._source

    @property
    def rate(self) -> float:
        """The frame rate that is asked of the detector."""
        own = self.capture.figures().source_fps or DEFAULT_FPS
        return min(own, self.fps or own)

    def add(self, seen: Seen) -> None:
        """Keeps a result; drops it where too many wait for the database."""
        if self._added - self._committed > MOST_SEEN:
            self.dropped += 1
            return
        self._added += 1 + len(seen.faces)
        self.seen.append(seen)

    def take(self) -> list[Seen]:
        """The results so far, which are the caller's from now on. Others get their room when they are committed."""
        return [self.seen.popleft() for _ in range(len(self.seen))]

    def committed(self, seen: Sequence[Seen]) -> None:
        """Gives the room of results that were taken to others."""
        self._committed += sum(1 + len(each.faces) for each in seen)


class Pump:
    """A thread that takes the newest frames of the streams in turn while the analyser has room for `room` of them.

    Frames are taken as late as possible, since a capture drops those that have become stale. `failures` counts frames
    in a row that the analyser could not process.
    """

    def __init__(self, analyser: Analyser, room: int) -> None:
        self._analyser, self._room = analyser, room
        self._turns: deque[Feed] = deque()
        self._ready, self._lock = threading.Event(), threading.Lock()
        self._flying = self._done = self.failures = 0
        self._busy_s, self._since, self._full_since = 0.0, time.monotonic(), 0.0
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Says that a frame is there, or room for one."""
        self._ready.set()

    def add(self, feed: Feed) -> None:
        with self._lock:
            self._turns.append(feed)
        self.wake()

    def remove(self, feed: Feed) -> None:
        with self._lock:
            self._turns.remove(feed)

    def close(self) -> None:
        """Ends the thread; frames in flight come to their end in the analyser."""
        self._is_closed = True
        self.wake()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def load(self) -> tuple[float, float]:
        """Frames a second, and the part of the time without room, since the last call."""
        with self._lock:
            self._note_full()
            now = time.monotonic()
            seconds = max(now - self._since, 1e-6)
            found = self._done / seconds, self._busy_s / seconds
            self._done, self._busy_s, self._since = 0, 0.0, now
        return found

    def _note_full(self) -> None:
        """Adds the time since the last call to the busy time, if there was no room. Call it after each change."""
        now = time.monotonic()
        if self._full_since:
            self._busy_s += now - self._full_since
        self._full_since = now if self._flying >= self._room else 0.0

    def _run(self) -> None:
        while not self._is_closed:
            # A capture may have become ready just before its stream was added.
            self._ready.wait(IDLE_S)
            self._ready.clear()
            while self._flying < self._room and (taken := self._next()) is not None:
                self._submit(*taken)

    def _next(self) -> tuple[Feed, LiveFrame] | None:
        """The next frame in turn; None if no stream has one."""
        for _ in range(len(self._turns)):
            with self._lock:
                if not self._turns:
                    return None
                feed = self._turns[0]
                self._turns.rotate(-1)
            # More would not find room in the analyser.
            if feed.flying < WAITING and (frames := feed.capture.take()):
                return feed, frames[0]
        return None

    def _submit(self, feed: Feed, live: LiveFrame) -> None:
        try:
            # Its rank in the medium is given when the row is made.
            frame = Frame(0, live.at_ms, live.image(), live.size)
        except Exception as error:
            # One stream's picture must not stop the others.
            logger.warning("a frame could not be converted: %r", error)
            feed.broken += 1
            return
        self._count(feed, 1)
        try:
            future = self._analyser.submit(frame, feed.source, timeout=0)
        except Exception as error:
            self._count(feed, -1)
            self._failed(error)
        else:
            future.add_done_callback(partial(self._finished, feed, frame))

    def _count(self, feed: Feed, change: int) -> None:
        with self._lock:
            feed.flying += change
            self._flying += change
            self._note_full()

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        logger.error("a frame could not be analysed: %r", error)

    def _finished(self, feed: Feed, frame: Frame, future: Future[list[FaceObservation]]) -> None:
        self._count(feed, -1)
        self._done += 1
        if not future.cancelled():
            if (error := future.exception()) is not None:
                self._failed(error)
            else:
                self.failures = 0
                faces = future.result()
                feed.add(Seen(frame.time_ms, frame.size, faces, crops.cut(frame, faces) if feed.keeps_crops else ()))
        self.wake()
