"""The webcam over WebRTC: the newest frame is analysed and sent back with its boxes."""

import asyncio
import logging
import time
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from fer_model.rendering.drawing import annotate
from fer_model.types import FaceObservation
from web.live import Watch

logger = logging.getLogger(__name__)

CLOCK = Fraction(1, 90_000)
"""RTP's time base for video (RFC 3551, section 5)."""


class Mirror(MediaStreamTrack):
    """The video that goes back to the visitor: one frame for each that was analysed.

    Frames that arrive during an analysis are dropped, except the newest. A frame's time is the one at which it was
    ready: with the camera's times the browser's jitter buffer would wait for the slowest analysis.
    """

    kind = "video"

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self._newest: av.VideoFrame | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = asyncio.Event()
        self._began_s = time.monotonic()
        self._faces: list[FaceObservation] = []
        self._ahead: asyncio.Task[av.VideoFrame | None] | None = None

    def show(self, frame: av.VideoFrame) -> None:
        """Takes a frame of the camera. Called by the event loop."""
        self._watch.dropped += self._newest is not None
        self._newest = frame
        self._arrived.set()

    async def recv(self) -> av.VideoFrame:
        """The next frame with its boxes. Raises `MediaStreamError` after `stop`, and if the analysis fails."""
        self._loop = asyncio.get_running_loop()
        # Taken out first: where this call is cancelled, so is what it waits for, and the next call begins anew.
        ahead, self._ahead = self._ahead, None
        ready = await (ahead or self._next())
        if ready is None:
            raise MediaStreamError
        # The next one is analysed while this one is encoded and sent.
        self._ahead = asyncio.create_task(self._next())
        return ready

    async def _next(self) -> av.VideoFrame | None:
        """The newest frame with its boxes, stamped when it is ready; None at the end."""
        await self._arrived.wait()
        if self.readyState != "live" or self._newest is None:
            return None
        self._arrived.clear()
        frame, self._newest = self._newest, None
        try:
            drawn = await asyncio.to_thread(self._drawn, frame)
        except Exception:
            logger.exception("a frame of the webcam was not analysed")
            return None
        drawn.pts, drawn.time_base = int((time.monotonic() - self._began_s) / CLOCK), CLOCK
        return drawn

    def stop(self) -> None:
        """Ends the track. May be called by any thread."""
        super().stop()
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.set)

    def _drawn(self, frame: av.VideoFrame) -> av.VideoFrame:
        image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        if (faces := self._watch.look(image)) is not None:
            self._faces = faces
        return av.VideoFrame.from_ndarray(annotate(image, self._faces), format="rgb24")
