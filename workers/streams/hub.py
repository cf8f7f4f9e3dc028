"""The hub: all streams of one process, which share the analyser and one thread that writes."""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine as Database

from fer_model.errors import FerModelError
from fer_model.sources.live.connection import abandoned
from results import leases
from results.database import writing
from results.errors import (
    DatabaseFullError,
    DatabaseReadOnlyError,
    JobCancelledError,
    ResultsError,
    ShardLostError,
)
from results.leases import Claim
from workers.batch import crops
from workers.lease.outages import OUTAGES
from workers.lease.policy import reason_of
from workers.metrics.recording import gpu_memory
from workers.settings import Settings
from workers.streams.analysis import Analysis, Load, is_in_use, start_analysis
from workers.streams.fairness import fits
from workers.streams.stream import Stream

logger = logging.getLogger(__name__)

LEAST_S, MOST_S, EACH_S = 0.4, 0.8, 0.1
"""The pause between two rounds of appends: 0.1 s a stream, at least 0.4 s and at most 0.8 s."""

MOST_ABANDONED = 4
"""Threads of captures that were given up and hang; above, the process ends, and the pool replaces it."""

MOST_FAILURES = 50
"""Frames in a row that the analyser could not process; then the process ends too."""

MODELS_S = 30.0
"""How often a promoted ensemble is looked for."""

CLOSE_S = 10.0

Publish = Callable[[str, dict[str, Any] | None], None]


def end_process() -> None:
    """Ends this process at once: threads that hang in a library end with nothing less."""
    os._exit(1)


class Hub:
    """Serves streams from `add` until they are stopped, lost, or `stopping` is true.

    `load` gives the networks, `publish` takes the live summary of a stream each second, and None at its end, and `die`
    ends the process when it is past help, after its leases are released.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        worker: str,
        load: Load,
        *,
        publish: Publish = lambda name, summary: None,
        stopping: Callable[[], bool] = lambda: False,
        die: Callable[[], None] = end_process,
    ) -> None:
        self.database, self.settings, self.worker = database, settings, worker
        self._load, self._publish, self._stopping, self._die = load, publish, stopping, die
        self._streams: dict[Claim, Stream] = {}
        self.refusals: Counter[str] = Counter()
        self._analysis: Analysis | None = None
        self._changing = threading.Lock()
        self._wake, self._is_closed, self._has_ended = threading.Event(), False, False
        self._second_at = self._models_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether it takes streams."""
        return not (self._is_closed or self._stopping())

    @contextmanager
    def analysis(self) -> Iterator[Analysis]:
        """The analysis, loaded if it is not, and not exchanged inside. Raises as `start_analysis`."""
        with self._changing:
            if self._analysis is None:
                self._analysis = start_analysis(self.database, self.settings.models_dir, self._load)
            yield self._analysis

    def warm(self) -> None:
        """Loads the networks before they are needed: a stream that is taken over must not wait for them."""
        try:
            with self.analysis():
                pass
        except Exception as error:
            # The first stream tries again.
            logger.error("the networks could not be loaded: %s", error)

    def has_room(self, analysis: Analysis, name: str, fps: float | None) -> bool:
        """Whether this stream fits too, by its `--fps`; counts its refusals, and logs the first."""
        speed, held = analysis.balance.speed, [each.options.fps for each in list(self._streams.values())]
        if fits(held, fps, speed.fps):
            del self.refusals[name]
            return True
        if not self.refusals[name]:
            logger.warning("stream %s: no room: %d others share %.0f frames a second", name, len(held), speed.fps)
        self.refusals[name] += 1
        speed.stretch()
        return False

    def serves(self, shard_id: int) -> bool:
        """Whether this process has the stream of this shard."""
        return any(claim.id == shard_id for claim in list(self._streams))

    def add(self, analysis: Analysis, stream: Stream) -> None:
        """Serves a stream; call it inside `analysis`."""
        stream.start(analysis.pump)
        self._streams[stream.claim] = stream
        logger.info("stream %s: taken up", stream.name)
        if self._has_ended:
            self._release(stream)

    def close(self) -> None:
        """Releases all streams, with what they have seen, and ends the thread."""
        self._is_closed = True
        self._wake.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        try:
            while self.is_open:
                self._wake.wait(min(MOST_S, max(LEAST_S, EACH_S * len(self._streams))))
                self._write_all()
                self._each_second()
        except Exception:
            logger.exception("the hub ends")
            self._end(is_lost=True)
        else:
            self._end()

    def _end(self, *, is_lost: bool = False) -> None:
        self._has_ended = self._is_closed = True
        self._release_all()
        if is_lost:
            self._die()
        elif self._analysis is not None:
            self._analysis.close()

    def _write_all(self) -> None:
        for stream in list(self._streams.values()):
            if not self._write(stream):
                # Each of the others would wait for the database as long as this one did.
                return

    def _write(self, stream: Stream) -> bool:
        """False if the database is away, full, or read-only for a while."""
        try:
            stream.write()
        except (JobCancelledError, ShardLostError) as error:
            logger.info("stream %s: ends here: %s", stream.name, error)
            self._drop(stream)
            self._forget_crops(stream)
            # The command that removed it may have deleted its summaries before the last one came.
            self._publish(stream.name, None)
        except (*OUTAGES, DatabaseFullError, DatabaseReadOnlyError) as error:
            logger.warning("stream %s: nothing could be written, it is kept in memory: %s", stream.name, error)
            return False
        except Exception as error:
            logger.exception("stream %s: its rows could not be written", stream.name)
            self._give_up(stream, reason_of(error))
        return True

    def _forget_crops(self, stream: Stream) -> None:
        """Of a stream that was removed while its last ones were written."""
        try:
            crops.forget_of_deleted(self.database, stream.claim, self.settings.permitted_crops)
        except (ResultsError, OSError) as error:
            logger.error("stream %s: pictures of faces may be left: %s", stream.name, error)

    def _give_up(self, stream: Stream, reason: str) -> None:
        """Leaves a stream to its next attempt, counted."""
        self._drop(stream)
        try:
            with writing(self.database) as session:
                leases.requeue(session, stream.claim, reason)
        except (ResultsError, *OUTAGES) as error:
            logger.warning("stream %s: its lease expires: %s", stream.name, error)

    def _drop(self, stream: Stream) -> None:
        self._streams.pop(stream.claim, None)
        stream.close()

    def _release_all(self) -> None:
        for stream in list(self._streams.values()):
            self._release(stream)

    def _release(self, stream: Stream) -> None:
        self._drop(stream)
        try:
            stream.release()
            logger.info("stream %s: left to another process", stream.name)
        except Exception as error:
            logger.warning("stream %s: its lease expires: %s", stream.name, error)

    def _each_second(self) -> None:
        now = time.monotonic()
        if now < self._second_at:
            return
        self._second_at = now + 1.0
        for stream in list(self._streams.values()):
            self._publish(stream.name, stream.summary())
        gpu_memory()
        if (analysis := self._analysis) is not None:
            analysis.balance.share(list(self._streams.values()), *analysis.pump.load())
            self._follow_models(analysis, now)
        self._look_after_process()

    def _look_after_process(self) -> None:
        failures = self._analysis.pump.failures if self._analysis else 0
        if (hanging := abandoned()) > MOST_ABANDONED:
            raise RuntimeError(f"{hanging} threads of sources hang; the process is replaced")
        if failures > MOST_FAILURES:
            raise RuntimeError(f"{failures} frames in a row could not be analysed; the process is replaced")

    def _follow_models(self, analysis: Analysis, now: float) -> None:
        """Gives the streams back if another ensemble was promoted; whichever process takes them up loads it."""
        if now < self._models_at:
            return
        self._models_at = now + MODELS_S
        try:
            if is_in_use(self.database, self.settings.models_dir, analysis.ensemble_id):
                return
        except (ResultsError, FerModelError, OSError) as error:
            logger.warning("the ensemble in use is unknown: %s", error)
            return
        # A stream that is being added would meet networks that are gone; the next time will do.
        if self._changing.acquire(blocking=False):
            logger.info("another ensemble is in use")
            try:
                self._release_all()
                analysis.close()
                self._analysis = None
            finally:
                self._changing.release()
