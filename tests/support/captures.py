"""What a test does with a capture."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

from fer_model.sources.live.capture import Capture
from fer_model.sources.live.packets import CaptureEvent, LiveFrame


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
