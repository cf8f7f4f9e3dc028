"""The values that pass from a connection to the frames of a capture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from fer_model.sources.upright import Turn
from fer_model.types import Image

Clock = Literal["rtcp", "arrival"]
"""Which clock a frame's time is from: the source's own, as RTCP sender reports give it, or its arrival here."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a decoder needs to know. `connection` makes it another one for each connection, and after a change of the
    encoder's settings: a decoder's reference pictures are worth nothing then. `size` (width, height), `pixels` (their
    format), `aspect` (of a pixel) and `fps` are the container's values."""

    connection: int
    codec: str
    extradata: bytes | None
    size: tuple[int, int]
    pixels: str | None
    aspect: Fraction | None
    fps: float | None
    turn: Turn | None = None
    """How a file's pictures are to be turned; other sources' lie as they are shown."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A packet as it came: `stamp` is its own presentation time in seconds (None: it has none), `sent` the wall time
    that the source gives for it, `at` and `monotonic` when it arrived, by the two clocks of this machine, `format` what
    its decoder needs."""

    data: bytes
    key: bool
    stamp: float | None
    sent: float | None
    at: float
    monotonic: float
    format: Format


@dataclass(frozen=True, slots=True)
class Coded:
    """An undecoded picture with its capture time, in ms since 1970 UTC, and the moment (monotonic) at which it is to be
    shown."""

    data: bytes = field(repr=False)
    key: bool
    at_ms: int
    due: float
    clock: Clock
    format: Format


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A picture with its capture time in ms since 1970 UTC, strictly increasing within a capture until the machine's
    clock is set back; `size` is its width and height. It is converted only when `image` is called."""

    at_ms: int
    size: tuple[int, int]
    clock: Clock
    due: float
    _convert: Callable[[], Image] = field(repr=False)

    def image(self) -> Image:
        """The picture: (height, width, 3), RGB."""
        return self._convert()


@dataclass(frozen=True, slots=True)
class CaptureEvent:
    """Something that happened to a source, in one sentence without its address."""

    at_ms: int
    kind: Literal["connected", "lost", "resumed", "clock", "resolution", "degraded"]
    detail: str
