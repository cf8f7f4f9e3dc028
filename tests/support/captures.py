"""What a test does with a capture."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep

from fer_model.sources.live.capture import Capture
from fer_model.sources.live.packets import CaptureEvent, LiveFrame
from tests.support.live_servers import wait_until


class Gathered:
    """The frames and events that a capture has given so far."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.frames: list[LiveFrame] = []
        self.events: list[CaptureEvent] = []

    def until(self, holds: Callable[[Gathered], object], seconds: float = 40.0) -> Gathered:
        """Takes frames and events until `holds` is true; fails after so many seconds."""
        end = monotonic() + seconds
        while not holds(self):
            assert monotonic() < end, (self.kinds, len(self.frames), self.capture.figures())
            self.frames += self.capture.take(4)
            self.events += self.capture.events()
            sleep(0.01)
        return self

    def more(self, frames: int, seconds: float = 40.0) -> Gathered:
        """Takes so many frames more."""
        goal = len(self.frames) + frames
        return self.until(lambda _: len(self.frames) >= goal, seconds)

    def event(self, kind: str, seconds: float = 40.0) -> CaptureEvent:
        """Waits for one more event of this kind."""
        before = len(self.of(kind))
        self.until(lambda _: len(self.of(kind)) > before, seconds)
        return self.of(kind)[before]

    def of(self, kind: str) -> list[CaptureEvent]:
        return [event for event in self.events if event.kind == kind]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def stop_at_once(capture: Capture) -> None:
    """Stops it, whatever its source does; it has to be over within 2 s."""
    others = threads("stream decoding") - 1
    begun = monotonic()
    capture.stop()
    assert monotonic() - begun < 0.5, "stop() waits for something"
    wait_until(lambda: threads("stream decoding") <= others, 2.0)
    assert capture.take(100) == []


def threads(name: str) -> int:
    """How many threads of this name live in this process."""
    return sum(thread.name == name for thread in threading.enumerate())
