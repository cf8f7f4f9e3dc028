"""Ending a job: tracks joined across the segments of a video, then the job closed, in one transaction."""

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Engine as Database

from fer_model.boxes import iou
from results.closing import close_job, ready_to_close, relabel_tracks
from results.database import writing
from results.seams import Box, ShardTracks, TrackBox, tracks_by_segment, videos_in_segments

LEAST_OVERLAP = 0.5
"""Intersection over union from which two boxes in one picture are the same face. For the same face it is 1 but for
rounding; non-maximum suppression leaves no two faces that overlap more (`engines.detection.IOU_THRESHOLD`)."""


def finish(database: Database, job_id: str) -> None:
    """Joins the tracks of each video, fills `tracks` and closes the job; does nothing if it is not ready.

    Raises:
        ResultsError: the database cannot be used; nothing was changed.
    """
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
    """For each segment the new number of each of its tracks, counted from 0 through the whole video as they begin.

    A track goes on as the one of a later segment that has the same box in the same frame. That need not be
    the next segment: one shorter than `LOST_SECONDS` may lie between, in which the face was hidden throughout.
    """
    joined: list[dict[int, int]] = []
    # Those that earlier segments have seen beyond their ends, by their new numbers, until their frames' segment comes.
    ahead: dict[int, dict[int, Box]] = {}
    count = 0
    for number, segment in enumerate(segments):
        if number and segments[number - 1].end_ms != segment.start_ms:
            # A segment that failed lies between: nobody knows who came and went.
            ahead.clear()
        labels: dict[int, int] = {}
        for frame_index in sorted(segment.seen):
            labels |= _matches(ahead.pop(frame_index, {}), segment.seen[frame_index], labels)
        for track in segment.tracks:
            if track not in labels:
                labels[track] = count
                count += 1
        for sighting in segment.seam:
            ahead.setdefault(sighting.frame_index, {})[labels[sighting.track_id]] = sighting.box
        joined.append(labels)
    return joined


def _matches(ahead: Mapping[int, Box], seen: Sequence[TrackBox], known: Mapping[int, int]) -> dict[int, int]:
    """Track -> number, each at most once, for tracks and numbers that are not in `known` yet."""
    there = [(number, box) for number, box in ahead.items() if number not in known.values()]
    here = [sighting for sighting in seen if sighting.track_id not in known]
    if not there or not here:
        return {}
    overlaps = iou(np.array([box for _, box in there]), np.array([sighting.box for sighting in here])).tolist()
    pairs = sorted(
        (
            (overlap, number, sighting.track_id)
            for (number, _), row in zip(there, overlaps, strict=True)
            for sighting, overlap in zip(here, row, strict=True)
        ),
        reverse=True,
    )
    matched: dict[int, int] = {}
    for overlap, number, track in pairs:
        if overlap >= LEAST_OVERLAP and track not in matched and number not in matched.values():
            matched[track] = number
    return matched
