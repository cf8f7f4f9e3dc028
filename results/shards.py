"""The rows of a shard: the fenced replace, the fenced append, and cutting a whole video into segments."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from results.bulk import insert_rows
from results.clock import ago
from results.jobs import changed
from results.leases import PAUSE_S, Claim, progress, renew, update_own
from results.media import settle_media
from results.plans import ShardPlan, add_segments
from results.tables import Face, FaceScore, Frame, Media, Shard

Rows = Sequence[Mapping[str, Any]]
"""Rows of one table, keyed by column; all have the same keys."""


def complete(
    session: Session,
    claim: Claim,
    frames: Rows,
    faces: Rows,
    media_updates: Rows = (),
    *,
    scores: Rows = (),
    ensemble_id: int | None = None,
    seam: Sequence[Sequence[float]] | None = None,
) -> None:
    """The fenced replace: writes all rows of a shard and marks it done, in the caller's one transaction.

    Rows of an earlier attempt are deleted first. `frames`, `faces` and `scores` are rows of `frames`, `faces` and
    `face_scores`, without `shard_id`. `media_updates` are as in `media.settle_media`. `ensemble_id` names what made
    the rows, `seam` is as in `tables.Shard`.

    Raises:
        JobCancelledError, ShardLostError: as `leases.heartbeat`; nothing is written.
    """
    values = {"state": "done", "error": None, "frames": len(frames), "faces": len(faces)}
    renew(session, claim, values | {"ensemble_id": ensemble_id, "seam": seam, "missing_since": None})
    # The first attempt has no earlier rows. Scores are deleted with their faces.
    if claim.epoch > 1:
        for table in (Frame, Face):
            changed(session, delete(table).where(table.shard_id == claim.id))
    _insert(session, claim, frames, faces, scores)
    settle_media(session, claim, media_updates)


def set_aside(session: Session, claim: Claim, positions: Sequence[int]) -> None:
    """Gives pictures that the worker could not find shards of their own, which other workers try in a while.

    They count as missing only from their own first attempt: in a large job that may be hours later.

    Call it after `complete`, in the same transaction.
    """
    alone = {"job_id": claim.job_id, "planned_frames": 1, "not_before": ago(-PAUSE_S)}
    for n in positions:
        session.execute(insert(Shard).values(first_position=n, last_position=n, **alone))
    if positions:
        less = {"planned_frames": Shard.planned_frames - len(positions)}
        changed(session, update(Shard).where(Shard.id == claim.id).values(less))


def append(
    session: Session,
    claim: Claim,
    frames: Rows,
    faces: Rows,
    *,
    scores: Rows = (),
    ensemble_id: int | None = None,
) -> None:
    """The fenced append: adds rows to those that are there, earlier attempts' too, in the caller's transaction.

    For work without an end, which goes on where it was taken over. Renews the lease, adds to the shard's counts, and
    restarts the count of attempts, with which the pause after a death ends. Parameters as in `complete`.

    Raises:
        JobCancelledError, ShardLostError: as `leases.heartbeat`; nothing is written.
        sqlalchemy.exc.IntegrityError: a frame is there already; roll back.
    """
    counts = {"frames": Shard.frames + len(frames), "faces": Shard.faces + len(faces)}
    progress(session, claim, counts | {"ensemble_id": ensemble_id, "error": None, "not_before": None})
    _insert(session, claim, frames, faces, scores)


def split(session: Session, claim: Claim, medium: Mapping[str, Any], segments: Sequence[ShardPlan]) -> Claim:
    """Makes a shard that was a whole video its first segment, and adds the others; gives the claim to the first.

    `medium` is what probing found, keyed as the columns of `media`. Idempotent for one claim: the answer to a commit
    may be lost. Raises as `leases.heartbeat`.
    """
    first = segments[0]
    values = {name: getattr(first, name) for name in ("start_ms", "end_ms", "start_frame", "planned_frames")}
    # Before the fence, which sets it, and refuses a late twin.
    is_split = session.scalar(select(Shard.start_ms.is_not(None)).where(Shard.id == claim.id))
    update_own(session, claim, values)
    if is_split:
        return replace(claim, **values)
    found = {**medium, "note": medium.get("error")}
    changed(session, update(Media).where(Media.id == claim.media_id).values(found))
    place = {"job_id": claim.job_id, "media_id": claim.media_id, "first_position": claim.first_position}
    add_segments(session, place | {"last_position": claim.last_position}, segments[1:])
    return replace(claim, **values)


def _insert(session: Session, claim: Claim, frames: Rows, faces: Rows, scores: Rows) -> None:
    insert_rows(session, Frame, frames, shard_id=claim.id)
    insert_rows(session, Face, faces, shard_id=claim.id)
    insert_rows(session, FaceScore, scores)
