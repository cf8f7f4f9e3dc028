"""One shard, from its row to its results. Knows no Celery: a test can call it."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.analysis.analyser import Analyser, SourceState
from fer_model.engines import Engine
from fer_model.errors import FerModelError, TransientMediaError, UnreadableMediaError, WeightsError
from fer_model.networks.manifest import ModelSet
from fer_model.sources import open_source
from fer_model.types import EMOTIONS, FaceObservation, Frame
from results import leases, shards
from results.database import reading, writing
from results.errors import JobCancelledError, NameTakenError, ResultsError, ShardLostError
from results.jobs import options_of
from results.media import media_of
from results.tables import Job, Media
from workers.batch import crops
from workers.batch.pictures import read_ahead
from workers.batch.planning import BatchOptions, look_into
from workers.batch.seams import Seam, after, through
from workers.errors import WorkerStoppingError
from workers.lease.heartbeat import heartbeat
from workers.lease.outages import OUTAGES, attempts
from workers.lease.reasons import reason_of
from workers.metrics import recording
from workers.models import store
from workers.settings import Settings

logger = logging.getLogger(__name__)

LEARNED = ("width", "height", "fps", "duration_ms", "frame_count", "error")
"""What is known of a video once it was looked into."""

Row = dict[str, Any]
Load = Callable[[ModelSet], Engine]
Queue = Callable[[Session, str], Callable[[], object]]
"""Marks a job's next shards as queued; what it gives sends their messages."""


@dataclass(frozen=True)
class _Start:
    """A claim, and what its transaction says of the work.

    `send` sends the messages of the job's next shards, `stored` are the job's options, and `in_use` is the ensemble
    in use, None where it cannot be told without writing.
    """

    claim: leases.Claim
    send: Callable[[], object]
    media: Sequence[Media]
    stored: Row
    in_use: tuple[int, ModelSet] | None


@dataclass
class ShardRows:
    """The rows of one shard, as they grow, and the ensemble that makes them.

    The limits of `claim` change where the shard was a whole video. `crops` is where the faces' pictures go, if they are
    kept.
    """

    claim: leases.Claim
    frames: list[Row] = field(default_factory=list)
    faces: list[Row] = field(default_factory=list)
    media: list[Row] = field(default_factory=list)
    scores: list[Row] = field(default_factory=list)
    seam: list[list[float]] | None = None
    ensemble_id: int | None = None
    crops: Path | None = None

    def counts(self) -> tuple[int, int]:
        """Frames and faces so far."""
        return len(self.frames), len(self.faces)

    def add(self, media_id: int, frame: Frame, faces: list[FaceObservation]) -> None:
        place = {"media_id": media_id, "frame_index": frame.index, "time_ms": frame.time_ms}
        self.frames.append({**place, "faces": len(faces)})
        self.faces += [{**place, "face_index": n, **_face_row(face)} for n, face in enumerate(faces)]
        del place["time_ms"]
        self.scores += [
            {**place, "face_index": n, "model_id": model_id, **dict(zip(EMOTIONS, scores, strict=True))}
            for n, face in enumerate(faces)
            for model_id, scores in face.members.items()
        ]


def process_shard(
    database: Database,
    settings: Settings,
    shard_id: int,
    worker: str,
    load: Load,
    *,
    queue: Queue = lambda session, job_id: lambda: None,
    stopping: Callable[[], bool] = lambda: False,
) -> str | None:
    """Claims a shard, works on it, and writes what was found in one transaction.

    Does nothing if the shard is finished, cancelled, or another worker's. What cannot be done is
    written down as failed, with the reason; what may have been bad luck is given back, to be tried again. `load`
    gives the networks of the ensemble that is in use when the shard is claimed; it is called after that, so that
    whoever waits sees that somebody is at work. `queue` is called with the job's id in the transactions after which
    more of it may be queued. Gives that id, or None if the shard was not claimed.
    Where `stopping` says so, or the database was away for a while, the shard is given back untried.

    Raises:
        ResultsError: the database cannot be used; the shard will be tried again.
    """
    start = attempts()(_claim, database, settings, shard_id, worker, queue)
    if start is None:
        return None
    claim = start.claim
    rows = ShardRows(claim)
    began = time.monotonic()
    # Unless it turns out otherwise: another worker has it, or the database is away.
    outcome: recording.Outcome = "lost"
    try:
        with heartbeat(database, claim, rows.counts) as still_ours:

            def check() -> None:
                still_ours()
                if stopping():
                    raise WorkerStoppingError

            # A Redis server that does not answer may take longer than a lease.
            start.send()
            _work(database, settings, start, rows, load, check, queue)
            for attempt in attempts(still_ours):
                with attempt, writing(database) as session:
                    _write(session, rows)
        outcome = "done"
    except (JobCancelledError, ShardLostError) as error:
        logger.info("shard %s given up: %s", shard_id, error)
        if isinstance(error, JobCancelledError):
            outcome = "cancelled"
        _forget_crops_of_deleted(database, rows)
    except Exception as error:
        if isinstance(error, ResultsError) and not isinstance(error, OUTAGES):
            raise
        with suppress(JobCancelledError, ShardLostError):
            outcome = attempts()(_give_up, database, rows.claim, error)
    finally:
        recording.shard_ended(outcome, time.monotonic() - began)
    return claim.job_id


def _forget_crops_of_deleted(database: Database, rows: ShardRows) -> None:
    """Removes what was written after the job was deleted: nobody would know of it any more."""
    if rows.crops is None:
        return
    with reading(database) as session:
        if session.get(Job, rows.claim.job_id) is None:
            crops.forget(rows.crops)


def _claim(database: Database, settings: Settings, shard_id: int, worker: str, queue: Queue) -> _Start | None:
    """Claims the shard, and asks in the same transaction for all that its work needs: each one more costs time."""
    with writing(database) as session:
        claim = leases.claim(session, shard_id, worker, lease_s=settings.lease_seconds)
        if claim is None:
            return None
        send, media = queue(session, claim.job_id), media_of(session, claim)
        stored, in_use = options_of(session, claim.job_id), None
        # What is wrong comes out in `_register`, when the shard can be given up for it.
        with suppress(WeightsError, NameTakenError):
            in_use = store.known(session, settings.models_dir)
        return _Start(claim, send, media, stored, in_use)


def _write(session: Session, rows: ShardRows) -> None:
    found = (rows.frames, rows.faces, rows.media)
    made_by, seam = rows.ensemble_id, rows.seam
    shards.complete(session, rows.claim, *found, scores=rows.scores, ensemble_id=made_by, seam=seam)


def _give_up(database: Database, claim: leases.Claim, error: Exception) -> recording.Outcome:
    """Only what would be the same the next time fails at once: a file that is no video stays none."""
    with writing(database) as session:
        if isinstance(error, (WorkerStoppingError, *OUTAGES)):
            # Untried: three restarts of the database must not make a shard fail.
            logger.info("shard %s goes back: %s", claim.id, error)
            leases.requeue(session, claim, counted=False)
            return "given_back"
        if isinstance(error, FerModelError) and not isinstance(error, TransientMediaError):
            logger.info("shard %s failed: %s", claim.id, error)
            leases.fail(session, claim, str(error))
            return "failed"
        # Where it is our own mistake the log has the traceback.
        logger.warning("shard %s failed in attempt %s", claim.id, claim.attempts, exc_info=error)
        return "given_back" if leases.requeue(session, claim, reason_of(error)) else "failed"


def _work(
    database: Database,
    settings: Settings,
    start: _Start,
    rows: ShardRows,
    load: Load,
    check: Callable[[], None],
    queue: Queue,
) -> None:
    claim, media, stored = start.claim, start.media, start.stored
    roots = settings.permitted_roots
    options = BatchOptions(**{name: stored[name] for name in BatchOptions.__dataclass_fields__ if name in stored})
    rows.ensemble_id, models = start.in_use or _register(database, settings.models_dir)
    origins: deque[int] = deque()
    if claim.is_unplanned_video:
        claim = rows.claim = _cut(database, claim, media[0], options, roots, queue)
    analyser = Analyser(load(models), models)
    source, detect_on = SourceState(options.detection_threshold), None
    if claim.media_id is None:
        frames = _pictures(media, roots, origins, rows.media)
    else:
        frames, source.follow = _segment(claim, media[0], options, roots, check), _follower(media[0], options)
        detect_on = options.detected
    seam = Seam(claim.end_ms)
    rows.crops = crops.folder_of(stored, claim.job_id)
    kept = options.keep_member_scores
    read = _checked(frames, check)
    for frame, faces in analyser.frames(read, source, detect_on, keep_members=kept, on_batch=recording.batch_done):
        check()
        if not seam.note(frame, faces):
            medium_id = claim.media_id or origins.popleft()
            rows.add(medium_id, frame, faces)
            if rows.crops:
                crops.keep(rows.crops, medium_id, frame, faces)
            recording.frame_done(len(faces))
    if seam.shared and (until := seam.waits_until()):
        beyond = replace(claim, start_ms=seam.shared.time_ms, end_ms=until + 1, start_frame=seam.shared.index)
        rest = after(_video(beyond, beyond.end_ms, media[0], options, roots, check), seam.shared.index)
        with closing(analyser.frames(_checked(rest, check), source, detect_on)) as seen:
            seam.wait(seen)
    rows.seam = None if claim.end_ms is None else seam.rows


def _register(database: Database, models_dir: Path) -> tuple[int, ModelSet]:
    with writing(database) as session:
        return store.current(session, models_dir)


def _cut(
    database: Database,
    claim: leases.Claim,
    medium: Media,
    options: BatchOptions,
    roots: Sequence[str],
    queue: Queue,
) -> leases.Claim:
    """Looks into a video that was not looked into when the job was submitted; gives the claim to its first segment."""
    found, segments = look_into(medium.uri, options, roots)
    learned = {name: getattr(found, name) for name in LEARNED}
    for name, value in learned.items():
        setattr(medium, name, value)
    with writing(database) as session:
        first = shards.split(session, claim, learned, segments)
        send = queue(session, claim.job_id)
    send()
    return first


def _checked(frames: Iterator[Frame], check: Callable[[], None]) -> Iterator[Frame]:
    for frame in frames:
        check()
        yield frame


def _pictures(media: Sequence[Media], roots: Sequence[str], origins: deque[int], updates: list[Row]) -> Iterator[Frame]:
    """The pictures that can be read; for the others a row that says why not."""
    for medium, read in read_ahead(media, roots):
        try:
            frame = read()
        except (UnreadableMediaError, MemoryError) as error:
            updates.append({"id": medium.id, "state": "failed", "error": reason_of(error)})
            continue
        width, height = frame.size
        updates.append({"id": medium.id, "state": "done", "width": width, "height": height})
        origins.append(medium.id)
        yield frame


def _segment(
    claim: leases.Claim, medium: Media, options: BatchOptions, roots: Sequence[str], check: Callable[[], None]
) -> Iterator[Frame]:
    """The segment's frames and the one at the seam."""
    return through(_video(claim, None, medium, options, roots, check), claim.end_ms)


def _video(
    claim: leases.Claim,
    end_ms: int | None,
    medium: Media,
    options: BatchOptions,
    roots: Sequence[str],
    check: Callable[[], None],
) -> Iterator[Frame]:
    return open_source(
        medium.uri,
        kind="video",
        start_ms=claim.start_ms or 0,
        end_ms=end_ms,
        start_frame=claim.start_frame,
        sampling=options.sampling,
        roots=roots,
        # Many may lie between two frames that are looked at.
        on_packet=check,
    )


def _follower(medium: Media, options: BatchOptions) -> Any:
    from fer_model.analysis.tracking import face_tracker

    rate = (medium.fps or 25.0) / options.every
    return face_tracker(min(rate, options.fps or rate))


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
