"""Tracks faces through one source."""

import math

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


def face_tracker(frame_rate: float, first_id: int = 0) -> Follow:
    """A function that gives the faces of one frame after another their track ids, from `first_id` on.

    ByteTrack (Zhang et al., 2022) with the Kalman filter of the `trackers` package, without its second association,
    which is for boxes below the detection threshold. `frame_rate` is the nominal rate of the frames, per second: the
    filter advances by one step for each frame. Absence is measured in capture time: after a gap (dropped frames, a
    source that was unreachable) the filter advances by the whole frame periods that have passed, and tracks last seen
    more than `LOST_SECONDS` ago have ended.
    """
    waits_ms = lost_ms(frame_rate)
    tracks: list[tuple[Track, int]] = []
    begun, before_ms = first_id, 0

    def follow(found: Detections, time_ms: int) -> NDArray[np.int64]:
        nonlocal begun, before_ms
        ids = np.full(len(found), -1, np.int64)
        kept = [(track, seen_ms) for track, seen_ms in tracks if time_ms - seen_ms <= waits_ms]
        steps = _steps(time_ms - before_ms, frame_rate)
        for track, seen_ms in kept:
            if seen_ms < before_ms:
                _keep_size(track)
            for _ in range(steps):
                track.predict()
        before_ms = time_ms
        rows = _pairs([track for track, _ in kept], found)
        tracks[:] = [(track, time_ms if number in rows else seen_ms) for number, (track, seen_ms) in enumerate(kept)]
        for number, row in rows.items():
            kept[number][0].update(found[row, :4])
            ids[row] = kept[number][0].tracker_id
        for row in np.flatnonzero(ids < 0).tolist():
            track = Track(found[row, :4])
            track.tracker_id = ids[row] = begun
            tracks.append((track, time_ms))
            begun += 1
        return ids

    return follow


def lost_ms(frame_rate: float) -> float:
    """How long a track waits for its face, in ms. Below 1 frame a second, faces are still followed to the next one."""
    return max(1000 * LOST_SECONDS, 1500 / frame_rate)


def _steps(elapsed_ms: int, frame_rate: float) -> int:
    """Frame periods since the last frame, 1 or more. Times are rounded to ms, so a period may be 1 ms short."""
    return max(1, math.floor((elapsed_ms + 1) * frame_rate / 1000))


def _keep_size(track: Track) -> None:
    """Both corners of a face that is not seen move alike; the authors' ByteTrack keeps the height of lost tracks so.

    Its last boxes, half covered, would have it shrink to nothing.
    """
    velocity = track.state[4:8].reshape(2, 2).mean(0)
    track.state[4:8, 0] = [*velocity, *velocity]


def _pairs(tracks: list[Track], found: Detections) -> dict[int, int]:
    """Track number -> row of its face: the assignment with the largest sum of IoUs (the Hungarian method)."""
    if not tracks or not len(found):
        return {}
    shared = iou(np.stack([track.state[:4, 0] for track in tracks]), found)
    pairs = zip(*(axis.tolist() for axis in linear_sum_assignment(shared, maximize=True)), strict=True)
    return {track: row for track, row in pairs if shared[track, row] >= LEAST_OVERLAP}
