"""One shard, from its row to its results. Knows no Celery: a test can call it."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine as Database

from fer_model.engines import Engine
from fer_model.errors import FerModelError, UnreadableMediaError
from fer_model.manifest import Models
from fer_model.pipeline import analyse
from fer_model.sources import open_source
from fer_model.types import EMOTIONS, FaceObservation, Frame
from results import shards
from results.database import reading, writing
from results.errors import JobCancelledError, ResultsError, ShardLostError
from results.jobs import get_job
from results.models import Media
from workers.planning import BatchOptions

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
"""How often a worker reports, and how soon it learns that its job was cancelled."""

Row = dict[str, Any]
Networks = tuple[Engine, Models]


@dataclass
class _Harvest:
    """The rows of one shard, as they grow."""

    frames: list[Row] = field(default_factory=list)
    faces: list[Row] = field(default_factory=list)
    media: list[Row] = field(default_factory=list)

    def add(self, media_id: int, frame: Frame, faces: list[FaceObservation]) -> None:
        place = {"media_id": media_id, "frame_index": frame.index, "time_ms": frame.time_ms}
        self.frames.append({**place, "faces": len(faces)})
        self.faces += [{**place, "face_index": n, **_face_row(face)} for n, face in enumerate(faces)]


def process_shard(database: Database, shard_id: int, worker: str, load: Callable[[], Networks]) -> None:
    """Claims a shard, works on it, and writes what was found in one transaction.

    Does nothing if the shard is finished, cancelled, or another worker's. What cannot be done is
    written down as failed, with the reason. `load` gives the networks; it is called once the
    shard is claimed, so that whoever waits sees that somebody is at work.

    Raises:
        ResultsError: the database cannot be used; the shard will be tried again.
    """
    with writing(database) as session:
        claim = shards.claim(session, shard_id, worker)
    if claim is None:
        return
    try:
        harvest = _work(database, claim, load)
        with writing(database) as session:
            shards.complete(session, claim, harvest.frames, harvest.faces, harvest.media)
    except (JobCancelledError, ShardLostError) as error:
        logger.info("shard %s given up: %s", shard_id, error)
    except ResultsError:
        raise
    except Exception as error:
        # One file must not stop the others; where it is our own mistake the log has the traceback.
        logger.exception("shard %s failed", shard_id)
        with suppress(JobCancelledError, ShardLostError), writing(database) as session:
            shards.fail(session, claim, _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, FerModelError):
        return str(error)
    if type(error).__name__ == "SoftTimeLimitExceeded":
        return "took longer than a worker may spend on one piece; use shorter ones (--shard-seconds)"
    if isinstance(error, MemoryError):
        return "there was not enough memory"
    return f"{type(error).__name__}: {error}"


def _work(database: Database, claim: shards.Claim, load: Callable[[], Networks]) -> _Harvest:
    with reading(database) as session:
        media = list(shards.media_of(session, claim))
        stored = get_job(session, claim.job_id).options
    options = BatchOptions(**{name: stored[name] for name in BatchOptions.__dataclass_fields__ if name in stored})
    harvest = _Harvest()
    origins: deque[int] = deque()
    with _heartbeat(database, claim, harvest) as check:
        engine, models = load()
        if claim.media_id is None:
            frames, follow = _pictures(media, origins, harvest.media), None
        else:
            frames, follow = _segment(claim, media[0], origins, options), _follower(media[0], options)
        for frame, faces in analyse(_checked(frames, check), engine, models, options.detection_threshold, follow):
            check()
            harvest.add(origins.popleft(), frame, faces)
    return harvest


@contextmanager
def _heartbeat(database: Database, claim: shards.Claim, harvest: _Harvest) -> Iterator[Callable[[], None]]:
    """Reports in a thread of its own while the work goes on: preparing networks or a long seek is no death.

    Gives a function that raises what a report has learned: `JobCancelledError` or `ShardLostError`.
    """
    ended = threading.Event()
    stop: list[ResultsError] = []

    def report() -> None:
        while not ended.wait(HEARTBEAT_S):
            try:
                with writing(database) as session:
                    shards.heartbeat(session, claim, len(harvest.frames), len(harvest.faces))
            except (JobCancelledError, ShardLostError) as error:
                stop.append(error)
                return
            except ResultsError as error:
                logger.warning("shard %s could not report: %s", claim.id, error)

    def check() -> None:
        if stop:
            raise stop[0]

    reporter = threading.Thread(target=report, name="heartbeat", daemon=True)
    reporter.start()
    try:
        yield check
    finally:
        ended.set()
        reporter.join()


def _checked(frames: Iterator[Frame], check: Callable[[], None]) -> Iterator[Frame]:
    for frame in frames:
        check()
        yield frame


def _pictures(media: list[Media], origins: deque[int], updates: list[Row]) -> Iterator[Frame]:
    """The pictures that can be read; for the others a row that says why not."""
    for medium in media:
        try:
            frame = next(open_source(medium.uri, kind="image"))
        except (UnreadableMediaError, MemoryError) as error:
            updates.append({"id": medium.id, "state": "failed", "error": _reason(error)})
            continue
        height, width = frame.image.shape[:2]
        updates.append({"id": medium.id, "state": "done", "width": width, "height": height})
        origins.append(medium.id)
        yield frame


def _segment(claim: shards.Claim, medium: Media, origins: deque[int], options: BatchOptions) -> Iterator[Frame]:
    piece = open_source(
        medium.uri,
        kind="video",
        start_ms=claim.start_ms or 0,
        end_ms=claim.end_ms,
        start_frame=claim.start_frame,
        sampling=options.sampling,
    )
    for frame in piece:
        origins.append(medium.id)
        yield frame


def _follower(medium: Media, options: BatchOptions) -> Any:
    from fer_model.tracking import face_tracker

    rate = (medium.fps or 25.0) / options.every
    return face_tracker(min(rate, options.fps or rate), options.detection_threshold)


def _face_row(face: FaceObservation) -> Row:
    return {
        "track_id": face.track_id,
        **dict(zip(("x1", "y1", "x2", "y2"), face.box, strict=True)),
        "detection_score": face.detection_score,
        "emotion": face.emotion,
        "confidence": face.confidence,
        **dict(zip(EMOTIONS, face.probabilities, strict=True)),
        "quality": face.quality,
    }
