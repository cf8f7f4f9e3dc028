"""One shard, from its row to its results. Knows no Celery: a test can call it."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
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
from results.catalogue import ID_DIGITS
from results.database import reading, writing
from results.errors import JobCancelledError, ResultsError, ShardLostError
from results.jobs import get_job
from results.models import Media
from workers import store
from workers.heartbeat import heartbeat
from workers.planning import BatchOptions

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Load = Callable[[Models], Engine]


@dataclass
class _Harvest:
    """The rows of one shard, as they grow, and the ensemble that makes them.

    `members` are the ids of the classifiers whose own answers are kept; none, unless they were asked for.
    """

    frames: list[Row] = field(default_factory=list)
    faces: list[Row] = field(default_factory=list)
    media: list[Row] = field(default_factory=list)
    scores: list[Row] = field(default_factory=list)
    ensemble_id: int | None = None
    members: tuple[str, ...] = ()

    def counts(self) -> tuple[int, int]:
        """Frames and faces so far."""
        return len(self.frames), len(self.faces)

    def add(self, media_id: int, frame: Frame, faces: list[FaceObservation]) -> None:
        place = {"media_id": media_id, "frame_index": frame.index, "time_ms": frame.time_ms}
        self.frames.append({**place, "faces": len(faces)})
        self.faces += [{**place, "face_index": n, **_face_row(face)} for n, face in enumerate(faces)]
        del place["time_ms"]
        self.scores += [
            {**place, "face_index": n, "model_id": model_id, **dict(zip(EMOTIONS, face.members[member], strict=True))}
            for n, face in enumerate(faces)
            for member, model_id in enumerate(self.members)
        ]


def process_shard(database: Database, shard_id: int, worker: str, load: Load) -> None:
    """Claims a shard, works on it, and writes what was found in one transaction.

    Does nothing if the shard is finished, cancelled, or another worker's. What cannot be done is
    written down as failed, with the reason. `load` gives the networks of the ensemble that is in use
    when the shard is claimed; it is called after that, so that whoever waits sees that somebody is at work.

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
            found = (harvest.frames, harvest.faces, harvest.media)
            shards.complete(session, claim, *found, scores=harvest.scores, ensemble_id=harvest.ensemble_id)
    except (JobCancelledError, ShardLostError) as error:
        logger.info("shard %s given up: %s", shard_id, error)
    except ResultsError:
        raise
    except Exception as error:
        # One file must not stop the others; where it is our own mistake the log has the traceback.
        logger.exception("shard %s failed", shard_id)
        with suppress(JobCancelledError, ShardLostError), writing(database) as session:
            shards.fail(session, claim, reason_of(error))


def reason_of(error: Exception) -> str:
    """What went wrong, in words for the one who reads the row."""
    if isinstance(error, FerModelError):
        return str(error)
    if type(error).__name__ == "SoftTimeLimitExceeded":
        return "took longer than a worker may spend on one piece; use shorter ones (--shard-seconds)"
    if isinstance(error, MemoryError):
        return "there was not enough memory"
    return f"{type(error).__name__}: {error}"


def _work(database: Database, claim: shards.Claim, load: Load) -> _Harvest:
    with reading(database) as session:
        media = list(shards.media_of(session, claim))
        stored = get_job(session, claim.job_id).options
    options = BatchOptions(**{name: stored[name] for name in BatchOptions.__dataclass_fields__ if name in stored})
    with writing(database) as session:
        ensemble_id, models = store.current(session)
    members = tuple(file.sha256[:ID_DIGITS] for file in models.members) if options.keep_member_scores else ()
    harvest = _Harvest(ensemble_id=ensemble_id, members=members)
    origins: deque[int] = deque()
    with heartbeat(database, claim, harvest.counts) as check:
        engine = load(models)
        if claim.media_id is None:
            frames, follow = _pictures(media, origins, harvest.media), None
        else:
            frames, follow = _segment(claim, media[0], origins, options), _follower(media[0], options)
        for frame, faces in analyse(_checked(frames, check), engine, models, options.detection_threshold, follow):
            check()
            harvest.add(origins.popleft(), frame, faces)
    return harvest


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
            updates.append({"id": medium.id, "state": "failed", "error": reason_of(error)})
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
