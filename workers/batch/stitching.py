"""Stitching: joins the tracks of a video's segments through the seams between them."""

from collections.abc import Mapping, Sequence

import numpy as np

from fer_model.boxes import iou
from results.seams import Box, ShardTracks, TrackBox

LEAST_OVERLAP = 0.5
"""Intersection over union from which two boxes in one frame are the same face. For the same face it is 1 except for
rounding; non-maximum suppression leaves no two faces that overlap more (`engines.detection.IOU_THRESHOLD`)."""


def join_tracks(segments: Sequence[ShardTracks]) -> list[dict[int, int]]:
    """For each segment its track ids -> the ids in the whole video, counted from 0 in the order in which tracks begin.

    A track continues as that of a later segment with the same box in the same frame. The two need not be
    neighbours: a segment in which the face is occluded throughout may lie between, if the tracker waits for longer.
    """
    joined: list[dict[int, int]] = []
    # Frame index -> id in the video -> box, of tracks seen beyond their segment's end; consumed by the frame's segment.
    ahead: dict[int, dict[int, Box]] = {}
    count = 0
    for number, segment in enumerate(segments):
        if number and segments[number - 1].end_ms != segment.start_ms:
            # A failed segment lies between: no track can be followed through it.
            ahead.clear()
        labels: dict[int, int] = {}
        for frame_index in sorted(segment.seen):
            labels |= _matches(ahead.pop(frame_index, {}), segment.seen[frame_index], labels)
        for track in segment.tracks:
            if track not in labels:
                labels[track] = count
                count += 1
        for seam_box in segment.seam:
            ahead.setdefault(seam_box.frame_index, {})[labels[seam_box.track_id]] = seam_box.box
        joined.append(labels)
    return joined


def _matches(ahead: Mapping[int, Box], seen: Sequence[TrackBox], known: Mapping[int, int]) -> dict[int, int]:
    """Track id -> id in the video, best overlap first, each at most once; `known` are those matched before."""
    taken = set(known.values())
    there = [(number, box) for number, box in ahead.items() if number not in taken]
    here = [face for face in seen if face.track_id not in known]
    if not there or not here:
        return {}
    overlaps = iou(np.array([box for _, box in there]), np.array([face.box for face in here])).tolist()
    pairs = sorted(
        (
            (overlap, number, face.track_id)
            for (number, _), row in zip(there, overlaps, strict=True)
            for face, overlap in zip(here, row, strict=True)
        ),
        reverse=True,
    )
    matched: dict[int, int] = {}
    for overlap, number, track in pairs:
        if overlap >= LEAST_OVERLAP and track not in matched and number not in taken:
            matched[track] = number
            taken.add(number)
    return matched
