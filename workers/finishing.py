"""Ending a job: tracks joined across the segments of a video, then the job closed, in one transaction."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from results.database import writing
from results.seams import Box, ShardTracks, tracks_by_segment, videos_in_segments
from results.shards import close_job, ready_to_close, relabel_tracks

LEAST_OVERLAP = 0.3
"""Intersection over union from which two boxes in neighbouring frames are one face."""


def finish(database: Engine, job_id: str) -> None:
    """Joins the tracks of each video, fills `tracks` and closes the job; does nothing if it is not ready."""
    with writing(database) as session:
        if not ready_to_close(session, job_id):
            return
        for media_id in videos_in_segments(session, job_id):
            segments = tracks_by_segment(session, media_id)
            for segment, labels in zip(segments, join_tracks(segments), strict=True):
                changed = {old: new for old, new in labels.items() if old != new}
                relabel_tracks(session, segment.shard_id, changed)
        close_job(session, job_id)


def join_tracks(segments: Sequence[ShardTracks]) -> list[dict[int, int]]:
    """For each segment the new number of each of its tracks, counted from 0 through the whole video.

    A face in the last frame of one segment and the first of the next is the same where the
    boxes overlap by `LEAST_OVERLAP` or more; the largest overlap is matched first.
    """
    joined: list[dict[int, int]] = []
    count = 0
    for number, segment in enumerate(segments):
        labels: dict[int, int] = {}
        before = segments[number - 1]
        # A segment that failed lies between two that do not touch: nobody knows who came and went.
        if number and before.end_ms == segment.start_ms:
            labels = {new: joined[-1][old] for old, new in _matches(before.last, segment.first)}
        for track in segment.tracks:
            if track not in labels:
                labels[track] = count
                count += 1
        joined.append(labels)
    return joined


def _matches(before: Mapping[int, Box], after: Mapping[int, Box]) -> list[tuple[int, int]]:
    """Pairs (track before, track after), each track at most once."""
    pairs = sorted(
        ((_overlap(old_box, new_box), old, new) for old, old_box in before.items() for new, new_box in after.items()),
        reverse=True,
    )
    matched: dict[int, int] = {}
    for overlap, old, new in pairs:
        if overlap >= LEAST_OVERLAP and old not in matched and new not in matched.values():
            matched[old] = new
    return list(matched.items())


def _overlap(first: Box, second: Box) -> float:
    """Intersection over union, 0..1."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return width * height / (areas - width * height)
