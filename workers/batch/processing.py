"""One shard, from its claim to its rows. Imports no Celery: a test can call it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from sqlalchemy import Engine as Database
from sqlalchemy.orm import Session

from fer_model.engines import Engine
from fer_model.errors import UnreadableMediaError, WeightsError
from fer_model.networks.manifest import ModelSet
from results import shards
from results.database import room_held_back
from results.errors import NameTakenError
from results.leases import Claim
from results.media import media_of
from results.tables import Media
from workers.batch import crops
from workers.batch.analysing import Work, analyse_shard
from workers.batch.crops_roots import folder_of
from workers.batch.missing import noticed
from workers.batch.planning import BatchOptions, deadline, look_into
from workers.batch.rows import ShardRows
from workers.batch.sources import submitted
from workers.errors import MissingMediaError
from workers.lease import heartbeat
from workers.lease.holding import Lease, fail, lease
from workers.metrics import recording
from workers.models import store
from workers.settings import Settings

LEARNED = ("width", "height", "fps", "duration_ms", "frame_count", "ordered", "error", "size", "modified", "etag")
"""The columns of a video's row that probing fills."""

Load = Callable[[ModelSet], Engine]
Queue = Callable[[Session, str], Callable[[], object]]
"""Marks a job's next shards as queued; what it returns sends their messages."""


@dataclass(frozen=True)
class Start:
    """What the claim's transaction reads, since each further transaction costs time.

    `send` sends the messages of the job's next shards, and `in_use` is the id and the models of the ensemble in use;
    None if the catalogue lacks it.
    """

    send: Callable[[], object]
    media: Sequence[Media]
    in_use: tuple[int, ModelSet] | None


def process_shard(
    database: Database,
    settings: Settings,
    shard_id: int,
    worker: str,
    load: Load,
    *,
    queue: Queue = lambda session, job_id: lambda: None,
    stopping: Callable[[], bool] = lambda: False,
    misses: list[str] | None = None,
) -> str | None:
    """Claims a shard, analyses it, and replaces its rows in one transaction. `lease.policy` decides on errors.

    `load` returns the networks of the ensemble that is in use when the shard is claimed; it is called after the claim,
    so that the shard's row shows that work has begun. `queue` is called in the transactions after which more of the job
    may be queued. `misses` are the files that this process has missed in a row with their folders; they are kept up to
    date. Returns the job's id, or None if the shard is finished, cancelled or held by another worker.

    Raises:
        ResultsError: the database cannot be used; the shard will be claimed again.
    """
    rows = ShardRows()
    with (
        room_held_back(database) as room,
        lease(
            database,
            shard_id,
            worker,
            partial(_begin, queue=queue, models_dir=settings.models_dir),
            lease_s=settings.lease_seconds,
            heartbeat_s=heartbeat.HEARTBEAT_S,
            kind="batch",
            counts=rows.counts,
            stopping=stopping,
            ended=recording.shard_ended,
            fail=partial(_fail, room),
        ) as held,
    ):
        if held is not None:
            # Under the heartbeat: waiting for a Redis server that hangs may outlast the lease.
            held.begun.send()
            with _misses_noted(misses):
                _work(held, settings, rows, load, queue)
            held.commit(rows.write)
    if held is None:
        return None
    if held.outcome in ("cancelled", "lost"):
        crops.forget_of_deleted(held.database, held.claim, settings.permitted_crops)
    return held.claim.job_id


def _fail(room: IO[bytes], held: Lease[Start], reason: str) -> None:
    """Fails the shard; on a full disk the room held back is needed to write that."""
    room.close()
    fail(held, reason)


def _begin(session: Session, claim: Claim, *, queue: Queue, models_dir: Path) -> Start:
    send, media = queue(session, claim.job_id), media_of(session, claim)
    in_use = None
    # `_analyse` meets it again, where the policy fails the shard.
    with suppress(WeightsError, NameTakenError):
        in_use = store.known(session, models_dir)
    return Start(send, media, in_use)


def _work(held: Lease[Start], settings: Settings, rows: ShardRows, load: Load, queue: Queue) -> None:
    if held.claim.media_id is None:
        _analyse(held, settings, rows, load, queue)
        return
    with noticed(held.begun.media[0].uri, settings.permitted_roots):
        _analyse(held, settings, rows, load, queue)


def _analyse(held: Lease[Start], settings: Settings, rows: ShardRows, load: Load, queue: Queue) -> None:
    start, roots = held.begun, settings.permitted_roots
    options = BatchOptions.of(held.claim.options)
    rows.ensemble_id, models = start.in_use or held.commit(
        lambda session, claim: store.current(session, settings.models_dir)
    )
    if held.claim.is_unplanned_video:
        _cut(held, options, settings, queue)
    folder = folder_of(held.claim.options, held.claim.job_id, settings.permitted_crops)
    kept = crops.Kept(folder, settings.mode_of_faces) if folder else None
    work = Work(held.claim, start.media, options, models, load(models), roots, kept, held.check)
    analyse_shard(work, rows)


@contextmanager
def _misses_noted(misses: list[str] | None) -> Iterator[None]:
    noted = [] if misses is None else misses
    try:
        yield
        noted.clear()
    except MissingMediaError as error:
        if error.with_folder:
            noted.append(error.uri)
        raise


def _cut(held: Lease[Start], options: BatchOptions, settings: Settings, queue: Queue) -> None:
    """Probes a video that `submit` did not, and keeps its first segment; the others become shards."""
    (medium,) = held.begun.media
    limit_s = settings.shard_timeout_seconds / 2
    late = UnreadableMediaError(
        f"{medium.uri}: reading its index took longer than {limit_s:g} s, half of FER_SHARD_TIMEOUT_SECONDS"
    )
    in_time = deadline(limit_s, late)

    def check() -> None:
        held.check()
        in_time()

    found, segments = look_into(medium.address, options, settings.permitted_roots, check, submitted(medium))
    learned = {name: getattr(found, name) for name in LEARNED}
    for name, value in learned.items():
        setattr(medium, name, value)

    def split(session: Session, claim: Claim) -> tuple[Claim, Callable[[], object]]:
        return shards.split(session, claim, learned, segments), queue(session, claim.job_id)

    held.claim, send = held.commit(split)
    send()
