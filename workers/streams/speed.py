"""The detector's speed: measured when it is loaded, and again whenever it is saturated."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fer_model.engines import Engine, Finish

USABLE = 0.9
"""The part of the detector's speed that streams may use; the rest absorbs frames that arrive at the same moment."""

SATURATED = 0.9
"""The detector is saturated while so much of the time as many frames are in flight as it takes."""

MEASURED_S, BURST_S = 1.0, 0.3
SIZE = (360, 640, 3)
SLACK = 0.5
"""The detector has time to spare while it is full for less of the time than this."""

GROWTH, STRETCH = 1.03, 1.1


@dataclass
class Speed:
    """Frames a second that the detector sustains. `measured` is what it did alone, `fps` what is expected of it now."""

    measured: float
    fps: float = field(init=False)
    busy: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.fps = self.measured

    def note(self, throughput: float, busy: float, *, is_limited: bool) -> bool:
        """Learns from a second's `throughput` (frames) and the part of it that was `busy`; True if it was saturated.

        Where it was saturated, the throughput is the speed. Otherwise the expectation rises slowly, while streams are
        limited, so that they get what is there, and back to the measured speed.
        """
        self.busy = busy
        if busy >= SATURATED:
            self.fps = (self.fps + throughput) / 2
            return True
        if is_limited:
            self.fps *= GROWTH
        elif self.fps < self.measured:
            self.fps = min(self.measured, self.fps * GROWTH)
        return False

    def stretch(self) -> None:
        """Expects a little more, where another stream found no room and the detector has time to spare.

        It may have been measured while another program had the processor.
        """
        if self.busy < SLACK:
            self.fps *= STRETCH
            self.measured = max(self.measured, self.fps)


def room_of(engine: Engine) -> int:
    """Frames that saturate the engine: what is in flight and a batch that is ready."""
    return engine.at_once * (engine.in_flight + 1)


def measure(engine: Engine, clock: Callable[[], float] = time.perf_counter) -> float:
    """Frames a second of the detector alone, with pictures of 640x360: the best of a few bursts.

    The best, because another program may take the processor for a moment.
    """
    # The first start compiles the network for this size.
    _burst(engine, 0.0, clock)
    began, best = clock(), 0.0
    while clock() - began < MEASURED_S:
        best = max(best, _burst(engine, BURST_S, clock))
    return best


def _burst(engine: Engine, seconds: float, clock: Callable[[], float]) -> float:
    batch = [np.zeros(SIZE, np.uint8)] * engine.at_once
    flying: deque[Finish] = deque()
    began, done = clock(), 0
    while not done or clock() - began < seconds:
        flying.append(engine.start(batch, 0.5))
        if len(flying) >= engine.in_flight:
            flying.popleft()()
            done += len(batch)
    took = clock() - began
    for finish in flying:
        finish()
    return done / took
