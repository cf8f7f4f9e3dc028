"""Records what a visitor shows to the webcam as a stream of the database: figures, no pictures."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy import select, update

from fer_model.types import FaceObservation
from results import leases, recording
from results.database import reading, writing
from results.errors import DatabaseFullError, DatabaseReadOnlyError, JobCancelledError, ShardLostError
from results.jobs import UNFINISHED, shard_of
from results.leases import STREAM_LEASE_S, Claim
from results.read.streams import stream_statuses
from results.recording import Resumed
from results.stream_tables import WEBCAM, Stream
from results.streams import StreamOptions, add_stream, stop_stream
from results.tables import Job
from workers.lease.outages import OUTAGES
from workers.streams.pump import Seen
from workers.streams.recorder import Recorder

logger = logging.getLogger(__name__)

QUEUE = "webcam"
"""The queue of its job, which no worker serves: this server holds its lease."""

EVERY_S = 1.0
LOST_MS = 1000.0
"""As `LOST_SECONDS` of the tracker."""

MOST_WAITING = 10_000
"""Frames kept while the database is away."""


class Recording:
    """A recording that goes on until `stop`, or until the stream is stopped elsewhere.

    Raises:
        NameTakenError: there is a stream of this name.
        ResultsError: the database cannot be written to.
    """

    def __init__(self, database: Database, ensemble_id: int, name: str, threshold: float) -> None:
        self.name, self._database = name, database
        self._recorder = Recorder(database, *_claimed(database, name, threshold), ensemble_id, None)
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"recording {name}", daemon=True)
        self._thread.start()

    @property
    def is_on(self) -> bool:
        """Whether frames are still written."""
        return self._thread.is_alive() and not self._ending.is_set()

    def add(self, size: tuple[int, int], faces: Sequence[FaceObservation]) -> None:
        """One more frame, seen now."""
        with self._lock:
            if len(self._seen) < MOST_WAITING:
                self._seen.append(Seen(round(1000 * time.time()), size, faces, ()))

    def stop(self) -> None:
        """Ends the recording; what has come is written soon."""
        self._ending.set()

    def join(self) -> None:
        """Waits until everything is written."""
        self._thread.join(2 * STREAM_LEASE_S)

    def _run(self) -> None:
        try:
            while not self._ending.wait(EVERY_S):
                self._attempt(lambda: self._write(LOST_MS))
            until = time.monotonic() + 2 * STREAM_LEASE_S
            while not self._attempt(self._end):
                if time.monotonic() > until:
                    logger.error("the end of the recording %s was lost: the database was away", self.name)
                    break
                time.sleep(EVERY_S)
        except (JobCancelledError, ShardLostError) as error:
            logger.info("the recording %s has ended: %s", self.name, error)
        except Exception:
            logger.exception("the recording %s has ended", self.name)

    def _attempt(self, write: Callable[[], None]) -> bool:
        """Whether the database was there."""
        try:
            write()
        except (*OUTAGES, DatabaseFullError, DatabaseReadOnlyError) as error:
            logger.warning("the recording %s waits for the database: %s", self.name, error)
            return False
        return True

    def _write(self, lost_ms: float | None) -> None:
        if self._recorder.waiting is not None:
            self._recorder.append()
        with self._lock:
            seen = list(self._seen)
        self._recorder.gather(seen, [], lambda: _figures(seen), lost_ms)
        # Not before: gathering may have to ask the database.
        with self._lock:
            del self._seen[: len(seen)]
        self._recorder.append()

    def _end(self) -> None:
        self._write(None)
        with writing(self._database) as session:
            stop_stream(session, self.name)


def end_abandoned(database: Database) -> None:
    """Stops recordings of servers that were killed: no other process can go on with them."""
    with reading(database) as session:
        unfinished = session.scalars(
            select(Stream.name)
            .join(Job, Job.id == Stream.job_id)
            .where(Stream.uri == WEBCAM, Job.state.in_(UNFINISHED))
        ).all()
        dead = [each.name for each in stream_statuses(session) if each.name in unfinished and each.worker is None]
    for name in dead:
        with writing(database) as session:
            stop_stream(session, name)


def _claimed(database: Database, name: str, threshold: float) -> tuple[Claim, Resumed]:
    with writing(database) as session:
        job = add_stream(session, name, WEBCAM, None, StreamOptions(detection_threshold=threshold))
        session.execute(update(Job).where(Job.id == job.id).values(queue=QUEUE))
        shard = shard_of(session, job.id)
        worker = f"{os.uname().nodename}:{os.getpid()}"
        claim = leases.claim(session, shard, worker, lease_s=STREAM_LEASE_S, kind="stream")
        assert claim is not None
        return claim, recording.resume(session, claim)


def _figures(seen: Sequence[Seen]) -> Mapping[str, Any]:
    fps = len(seen) / EVERY_S
    return {"state": "live", "clock": "arrival", "capture_fps": fps, "processed_fps": fps}
