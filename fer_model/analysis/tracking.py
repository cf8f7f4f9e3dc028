"""Tracks faces through one source."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_model.analysis.kalman import BoxFilter
from fer_model.analysis.matching import best_pairs
from fer_model.analysis.observing import Follow
from fer_model.boxes import iou
from fer_model.engines.detection import Detections

LOST_SECONDS = 1.0
"""A face that reappears after a longer absence gets a new track id."""

LEAST_OVERLAP = 0.1
"""The least IoU of a face with the predicted box of its track, as in ByteTrack."""

WHOLE = 0.95
"""The least area of a box that shows a whole face, as a share of its track's largest within the last second."""

Sightings = deque[tuple[int, NDArray[np.float32]]]
"""When a track was seen, in ms, and the filter's state then (2, 4)."""


@dataclass(slots=True)
class Track:
    """A face that is followed: its id, the filter of its box, and its last second."""

    number: int
    box: BoxFilter
    seen: Sightings


def face_tracker(frame_rate: float, first_id: int = 0, *, apart: float = 1.0) -> Follow:
    """A function that gives the faces of one frame after another their track ids, from `first_id` on.

    ByteTrack (Zhang et al., 2022) without its second association, which is for boxes below the detection threshold.
    `frame_rate` is the nominal rate of the frames, per second: the filter advances by one step for each frame. Absence
    is measured in capture time: after a gap (dropped frames, a source that was unreachable) the filter advances by the
    whole frame periods that have passed, and tracks last seen more than `LOST_SECONDS` ago have ended. `apart` is the
    most frame periods between two frames that follow each other.
    """
    waits_ms = lost_ms(frame_rate, apart)
    tracks: list[Track] = []
    kept = max(2, round(frame_rate * LOST_SECONDS))
    begun, before_ms = first_id, 0

    def follow(found: Detections, time_ms: int) -> NDArray[np.int64]:
        nonlocal begun, before_ms
        ids = np.full(len(found), -1, np.int64)
        # A clock may be set back: no track goes on before it was seen.
        tracks[:] = [track for track in tracks if abs(time_ms - track.seen[-1][0]) <= waits_ms]
        steps = _steps(time_ms - before_ms, frame_rate)
        for track in tracks:
            for _ in range(steps):
                track.box.predict()
            if track.seen[-1][0] < before_ms:
                track.box.state = _unseen(track.seen, time_ms, frame_rate)
        before_ms = time_ms
        for track, row in _pairs(tracks, found):
            track.box.update(found[row, :4])
            track.seen.append((time_ms, track.box.state))
            ids[row] = track.number
        for row in np.flatnonzero(ids < 0).tolist():
            box = BoxFilter(found[row, :4])
            tracks.append(Track(begun, box, deque([(time_ms, box.state)], maxlen=kept)))
            ids[row] = begun
            begun += 1
        return ids

    return follow


def lost_ms(frame_rate: float, apart: float = 1.0) -> float:
    """How long a track waits for its face, in ms. Below 1 frame a second, faces are still followed to the next one."""
    return max(1000 * LOST_SECONDS, 1000 * (apart + 0.5) / frame_rate)


def _steps(elapsed_ms: int, frame_rate: float) -> int:
    """Frame periods since the last frame, 1 or more. Times are rounded to ms, so a period may be 1 ms short."""
    return max(1, math.floor((elapsed_ms + 1) * frame_rate / 1000))


def _unseen(seen: Sightings, time_ms: int, frame_rate: float) -> NDArray[np.float32]:
    """The state (2, 4) of a track that is not seen: its last whole box goes on in size and speed.

    The last boxes of a face that is being covered show a part of it: they shrink, and the covering edge moves them.
    """
    areas = [max(0.0, float((x2 - x1) * (y2 - y1))) for _, ((x1, y1, x2, y2), _) in seen]
    last = max(number for number, area in enumerate(areas) if area >= WHOLE * max(areas))
    whole_ms, (box, changes) = seen[last]
    velocity = np.tile(changes.reshape(2, 2).mean(axis=0), 2)
    frames = np.float32((time_ms - whole_ms) * frame_rate / 1000)
    return np.stack((box + frames * velocity, velocity))


def _pairs(tracks: list[Track], found: Detections) -> Iterator[tuple[Track, int]]:
    """Each track that is seen, with the row of its face."""
    if not tracks or not len(found):
        return
    shared = iou(np.stack([track.box.state[0] for track in tracks]), found)
    for number, row in zip(*(axis.tolist() for axis in best_pairs(shared, LEAST_OVERLAP)), strict=True):
        yield tracks[number], row
