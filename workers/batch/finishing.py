"""Ends a job: stitches the tracks of its videos and closes it, in many short transactions."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event, Thread

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from results import closing, labels
from results.database import connect, reading, writing
from results.errors import ResultsError
from results.seams import ShardTracks, tracks_by_segment
from workers.batch.stitching import join_tracks
from workers.lease.outages import OUTAGES, insist
from workers.lease.policy import reason_of

LONGEST_S = 600.0
"""How long a step waits for a database that is away."""

RENEW_S = closing.CLOSING_LEASE_S / 4
"""Between two heartbeats of the worker that closes a job."""

logger = logging.getLogger(__name__)


def finish(database: Database, job_id: str) -> None:
    """Joins the tracks of each video, fills `tracks` and closes the job; does nothing if shards are left. Idempotent.

    A worker that dies meanwhile, or exceeds its time, leaves to the next what it has not done yet.

    Raises:
        ResultsError: the database cannot be used.
    """
    with writing(database) as session:
        if not closing.begin_closing(session, job_id):
            return
        if _next(session, job_id) is None:  # A job without videos is closed at once.
            closing.close_job(session, job_id)
            return
    try:
        with _alive(database, job_id):
            while _step(database, job_id):
                pass
    except OUTAGES:
        with suppress(*OUTAGES), writing(database) as session:
            closing.closing_interrupted(session, job_id)
        raise
    except Exception as error:
        logger.warning("job %s could not be closed", job_id, exc_info=error)
        with writing(database) as session:
            closing.closing_failed(session, job_id, _reason(error))
        if isinstance(error, ResultsError):
            raise


@contextmanager
def _alive(database: Database, job_id: str) -> Iterator[None]:
    """Keeps other workers from closing the job while the body does."""
    ended = Event()
    # The only connection of a worker's process is taken while the tracks of a video are read.
    own = connect(database.url.render_as_string(hide_password=False), connections=1)

    def renew() -> None:
        while not ended.wait(RENEW_S):
            with suppress(ResultsError), writing(own) as session:
                closing.closing_alive(session, job_id)

    thread = Thread(target=renew, name="closing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        own.dispose()
        with suppress(ResultsError), writing(database) as session:
            closing.closing_left(session, job_id)


def _next(session: Session, job_id: str) -> labels.Unclosed | None:
    return next(iter(labels.unclosed(session, job_id, 1)), None)


def _step(database: Database, job_id: str) -> bool:
    """Makes the next step, again while the database is away; False if there is none, or another worker makes it."""
    return insist(partial(_try_step, database, job_id), longest_s=LONGEST_S)


def _try_step(database: Database, job_id: str) -> bool:
    with reading(database) as session:
        video = _next(session, job_id)
        segments = None
        if video is not None and video.is_unlabelled and not labels.is_waiting(session, video.media_id):
            segments = tracks_by_segment(session, video.media_id)
    # Outside of transactions: one that waits for this process keeps its locks, and is ended by the server in the end.
    joined = None if segments is None else _joined(segments)
    with writing(database) as session:
        if not closing.ready_to_close(session, job_id, waits=True):
            return False
        if video is None:
            closing.close_job(session, job_id)
            return False
        if joined is not None:
            labels.label(session, video.media_id, joined)
        elif not labels.apply_labels(session, video.media_id):
            closing.fill_tracks(session, labels.filled_together(session, job_id))
        closing.closing_went_on(session, job_id)
    return True


def _joined(segments: Sequence[ShardTracks]) -> labels.Labels:
    joined = zip(segments, join_tracks(segments), strict=True)
    return {segment.shard_id: {old: new for old, new in ids.items() if old != new} for segment, ids in joined}


def _reason(error: Exception) -> str:
    if type(error).__name__ == "SoftTimeLimitExceeded":
        return "it took too long"
    return reason_of(error)
