"""The mapping from the track ids of a video's segments to those of the whole video.

It is written for a whole video at once (`label`), and then applied to a few segments at a time (`apply_labels`), whose
rows of the mapping are deleted in the same transaction. So it may be interrupted anywhere, and is never applied twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from results.bulk import insert_rows
from results.jobs import changed
from results.tables import Face, Media, Shard, TrackLabel

Labels = Mapping[int, Mapping[int, int]]
"""Shard -> its track id -> the id in the video; only ids that differ."""


@dataclass(frozen=True, slots=True)
class Unclosed:
    """A video whose tracks are not in `tracks` yet; `closing` as in `tables.Media`."""

    media_id: int
    closing: str | None
    segments: int
    faces: int

    @property
    def is_unlabelled(self) -> bool:
        """Whether its segments' tracks are still to be joined."""
        return self.closing is None and self.segments > 1


STEP_FACES = 100_000
"""About how many faces one transaction changes: on SQLite it keeps all workers from writing meanwhile."""


def label(session: Session, media_id: int, labels: Labels) -> bool:
    """Writes the mapping of a video; False, without a change, if it has one, or had."""
    if is_waiting(session, media_id):
        return False
    unlabelled = update(Media).where(Media.id == media_id, Media.closing.is_(None))
    if not changed(session, unlabelled.values(closing="labelled")):
        return False
    rows = [
        {"shard_id": shard_id, "track_id": old, "label": new}
        for shard_id, ids in labels.items()
        for old, new in ids.items()
    ]
    insert_rows(session, TrackLabel, rows)
    return True


def is_waiting(session: Session, media_id: int) -> bool:
    """Whether a part of the video's mapping is not applied yet."""
    waiting = exists().where(TrackLabel.shard_id == Shard.id, Shard.media_id == media_id)
    return bool(session.scalar(select(waiting)))


def apply_labels(session: Session, media_id: int) -> bool:
    """Applies the mapping to as many segments of the video as have `STEP_FACES` faces; False if none is left."""
    has_labels = exists().where(TrackLabel.shard_id == Shard.id)
    wanted = select(Shard.id, Shard.faces, Shard.seam).where(Shard.media_id == media_id, has_labels)
    left = STEP_FACES
    found = False
    for shard in session.execute(wanted.order_by(Shard.id).limit(100)):
        _apply(session, shard.id, shard.seam)
        found = True
        left -= shard.faces
        if left <= 0:
            break
    return found


def _apply(session: Session, shard_id: int, seam: list[list[float]] | None) -> None:
    mapping = (TrackLabel.shard_id == shard_id, TrackLabel.track_id == Face.track_id)
    renamed = update(Face).where(Face.shard_id == shard_id, *mapping).values(track_id=TrackLabel.label)
    changed(session, renamed)
    if seam:
        rows = select(TrackLabel.track_id, TrackLabel.label).where(TrackLabel.shard_id == shard_id)
        labels: dict[int, int] = dict(session.execute(rows).all())
        renumbered = [[frame, labels.get(int(track), track), *box] for frame, track, *box in seam]
        changed(session, update(Shard).where(Shard.id == shard_id).values(seam=renumbered))
    changed(session, delete(TrackLabel).where(TrackLabel.shard_id == shard_id))


def unclosed(session: Session, job_id: str, limit: int) -> list[Unclosed]:
    """The first videos of a job whose tracks are not in `tracks` yet."""
    is_open = (Media.job_id == job_id, Media.kind != "image", func.coalesce(Media.closing, "") != "done")
    counts = (func.count(), func.sum(Shard.faces))
    wanted = select(Media.id, Media.closing, *counts).join(Shard, Shard.media_id == Media.id).where(*is_open)
    rows = session.execute(wanted.group_by(Media.id).order_by(Media.id).limit(limit))
    return [Unclosed(media_id, closing, segments, int(faces)) for media_id, closing, segments, faces in rows]


def filled_together(session: Session, job_id: str) -> list[int]:
    """The first videos that need no more labels, together of about `STEP_FACES` faces; at least the first."""
    chosen: list[int] = []
    faces = 0
    for video in unclosed(session, job_id, 500):
        faces += video.faces
        if chosen and (video.is_unlabelled or faces > STEP_FACES or is_waiting(session, video.media_id)):
            break
        chosen.append(video.media_id)
    return chosen
