"""One stream that this process serves: its capture, its way through the analyser, and its rows."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine as Database

from fer_model.sources.live.capture import Capture
from fer_model.sources.live.packets import CaptureEvent
from results import recording
from results.database import writing
from results.leases import Claim
from results.recording import Resumed
from workers.batch.crops import Kept
from workers.metrics.recording import frame_done
from workers.streams.gauge import Gauge
from workers.streams.pump import Feed, Pump, Seen
from workers.streams.recorder import Recorder

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.9
"""The longest pause between two appends, which renew the lease, also where there is nothing new."""

IDLE_S = 2.0
"""Open tracks get their rows when no frame came for so much longer than the tracker waits. They may go on: frames that
a stall held back have times of capture without a gap."""

MOST_EVENTS = 1000


class Stream:
    """A stream under its lease. `name` and `options` are those of its row; one thread calls `write` and `end`."""

    def __init__(
        self,
        database: Database,
        claim: Claim,
        resumed: Resumed,
        capture: Capture,
        ensemble_id: int | None,
        kept: Kept | None,
    ) -> None:
        self.claim, self.name, self.options = claim, resumed.name, resumed.options
        self.capture, self._database = capture, database
        options = self.options
        self.feed = Feed(capture, options.detection_threshold, options.fps, resumed.next_track_id, kept is not None)
        self._recorder = Recorder(database, claim, resumed, ensemble_id, kept)
        self._gauge = Gauge()
        self._events: list[CaptureEvent] = []
        self._seen: list[Seen] = []
        self._written_at = self._seen_at = time.monotonic()
        self._pump: Pump | None = None
        self._limit: float | None = None

    @property
    def demand(self) -> float:
        """The frames a second that it would have analysed; 0 while it is not live."""
        return self.feed.rate if self.capture.figures().state == "live" else 0.0

    def start(self, pump: Pump) -> None:
        """Has the pump take its frames."""
        self._pump = pump
        pump.add(self.feed)

    def limit(self, fps: float | None) -> None:
        """Lowers its frame rate while the detector is full; None ends that. A stream that keeps everything may lag."""
        if self.options.policy == "everything" or fps == self._limit:
            return
        if (fps is None) != (self._limit is None):
            self._note_limit(fps)
        self._limit = fps
        self.capture.limit_rate(fps)

    def _note_limit(self, fps: float | None) -> None:
        detail = (
            "The detector has room for all frames again."
            if fps is None
            else f"The detector is full: {fps:.1f} of {self.demand:.1f} frames a second are analysed."
        )
        self._add_events([CaptureEvent(round(1000 * time.time()), "degraded", detail)])

    def write(self, *, ends: bool = False) -> None:
        """Appends what has come, or renews the lease if it is time; with `ends` all open tracks get their rows.

        Raises:
            JobCancelledError, ShardLostError: the stream is this process's no longer.
            DatabaseUnreachableError, DatabaseBusyError, DatabaseFullError, DatabaseReadOnlyError: nothing is lost; call
                it again.
            Exception: its capture has ended; see `Capture.events`.
        """
        if self._recorder.waiting is not None:
            self._append()
        self._add_events(self.capture.events())
        self._seen += self.feed.take()
        now = time.monotonic()
        if self._seen:
            self._seen_at = now
        ends |= self._recorder.has_open_tracks and now - self._seen_at > self.feed.lost_ms / 1000 + IDLE_S
        if not (self._seen or self._events or ends or now - self._written_at > HEARTBEAT_S):
            return
        self._recorder.gather(self._seen, self._events, self._columns, None if ends else self.feed.lost_ms)
        self._seen, self._events = [], []
        self._append()

    def release(self) -> None:
        """Gives the stream to another worker, with everything that has come. Raises as `write`."""
        self.write(ends=True)
        with writing(self._database) as session:
            recording.release(session, self.claim)

    def close(self) -> None:
        """Gives up the capture; does not wait."""
        if self._pump is not None:
            self._pump.remove(self.feed)
            self._pump = None
        self.capture.stop()

    def summary(self) -> dict[str, Any]:
        """The live summary since the last one."""
        return self._gauge.summary(self.name, self.capture.figures(), self._skipped())

    def _append(self) -> None:
        committed = self._recorder.append()
        self.feed.committed(committed)
        self._written_at = time.monotonic()
        self._gauge.committed(committed)
        for seen in committed:
            frame_done(len(seen.faces))

    def _add_events(self, events: Sequence[CaptureEvent]) -> None:
        for event in events:
            logger.info("stream %s: %s: %s", self.name, event.kind, event.detail)
        # While the database is away for days, the newest are worth more.
        self._events = [*self._events, *events][-MOST_EVENTS:]

    def _columns(self) -> Mapping[str, Any]:
        return self._gauge.columns(self.capture.figures(), self._skipped())

    def _skipped(self) -> dict[str, int]:
        """The frames that were skipped since this worker has the stream, by cause."""
        captured = self.capture.figures().skipped
        ours = {"stale": 0, "decode": self.feed.broken, "overload": self.feed.dropped}
        return {cause: captured[cause] + ours[cause] for cause in captured}
