"""Tracks faces through one source."""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from trackers.core.bytetrack.kalman_box_tracker import ByteTrackKalmanBoxTracker as Track

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
"""When a track was seen, in ms, and the filter's state then (8, 1): x1, y1, x2, y2 and their changes per frame."""


def face_tracker(frame_rate: float, first_id: int = 0) -> Follow:
    """A function that gives the faces of one frame after another their track ids, from `first_id` on.

    ByteTrack (Zhang et al., 2022) with the Kalman filter of the `trackers` package, without its second association,
    which is for boxes below the detection threshold. `frame_rate` is the nominal rate of the frames, per second: the
    filter advances by one step for each frame. Absence is measured in capture time: after a gap (dropped frames, a
    source that was unreachable) the filter advances by the whole frame periods that have passed, and tracks last seen
    more than `LOST_SECONDS` ago have ended.
    """
    waits_ms = lost_ms(frame_rate)
    tracks: list[tuple[Track, Sightings]] = []
    begun, before_ms = first_id, 0

    def follow(found: Detections, time_ms: int) -> NDArray[np.int64]:
        nonlocal begun, before_ms
        ids = np.full(len(found), -1, np.int64)
        tracks[:] = [(track, seen) for track, seen in tracks if time_ms - seen[-1][0] <= waits_ms]
        steps = _steps(time_ms - before_ms, frame_rate)
        for track, seen in tracks:
            for _ in range(steps):
                track.predict()
            if seen[-1][0] < before_ms:
                track.state = _unseen(seen, time_ms, frame_rate)
        before_ms = time_ms
        for number, row in _pairs([track for track, _ in tracks], found).items():
            track, seen = tracks[number]
            track.update(found[row, :4])
            seen.append((time_ms, track.state))
            ids[row] = track.tracker_id
        for row in np.flatnonzero(ids < 0).tolist():
            track = Track(found[row, :4])
            track.tracker_id = ids[row] = begun
            tracks.append((track, deque([(time_ms, track.state)], maxlen=max(2, round(frame_rate * LOST_SECONDS)))))
            begun += 1
        return ids

    return follow


def lost_ms(frame_rate: float) -> float:
    """How long a track waits for its face, in ms. Below 1 frame a second, faces are still followed to the next one."""
    return max(1000 * LOST_SECONDS, 1500 / frame_rate)


def _steps(elapsed_ms: int, frame_rate: float) -> int:
    """Frame periods since the last frame, 1 or more. Times are rounded to ms, so a period may be 1 ms short."""
    return max(1, math.floor((elapsed_ms + 1) * frame_rate / 1000))


def _unseen(seen: Sightings, time_ms: int, frame_rate: float) -> NDArray[np.float32]:
    """The state (8, 1) of a track that is not seen: its last whole box goes on in size and speed.

    The last boxes of a face that is being covered show a part of it: they shrink, and the covering edge moves them.
    """
    areas = [max(0.0, float((state[2, 0] - state[0, 0]) * (state[3, 0] - state[1, 0]))) for _, state in seen]
    last = max(number for number, area in enumerate(areas) if area >= WHOLE * max(areas))
    whole_ms, state = seen[last]
    velocity = np.tile(state[4:8].reshape(2, 2).mean(axis=0), 2)[:, None]
    frames = np.float32((time_ms - whole_ms) * frame_rate / 1000)
    return np.concatenate((state[:4] + frames * velocity, velocity))


def _pairs(tracks: list[Track], found: Detections) -> dict[int, int]:
    """Track number -> row of its face: the assignment with the largest sum of IoUs (the Hungarian method)."""
    if not tracks or not len(found):
        return {}
    shared = iou(np.stack([track.state[:4, 0] for track in tracks]), found)
    pairs = zip(*(axis.tolist() for axis in linear_sum_assignment(shared, maximize=True)), strict=True)
    return {track: row for track, row in pairs if shared[track, row] >= LEAST_OVERLAP}
