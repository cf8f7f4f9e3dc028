"""Follows faces through one video."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from trackers.core.bytetrack.kalman_box_tracker import ByteTrackKalmanBoxTracker as Track

from fer_model.analysis.interpolation import overlaps
from fer_model.engines.detection import Detections

LOST_SECONDS = 1.0
"""A face that is away for longer comes back under a new id."""

LEAST_OVERLAP = 0.1
"""Of a face with the place where a track is expected, as in ByteTrack."""


def face_tracker(frame_rate: float) -> Callable[[Detections], NDArray[np.int64]]:
    """A function that gives the faces of one frame after another their track ids, from 0 on.

    ByteTrack (Zhang et al., 2022) with the Kalman filter of the `trackers` package, and without its second round:
    that is for boxes under the detection threshold, of which none come here. `frame_rate` is that of the frames it
    will see, in frames per second.
    """
    # Below 1 a second, faces are still followed from frame to frame.
    longest = max(1, int(frame_rate * LOST_SECONDS))
    tracks: list[Track] = []
    begun = 0

    def follow(found: Detections) -> NDArray[np.int64]:
        nonlocal begun
        ids = np.full(len(found), -1, np.int64)
        for track in tracks:
            track.predict()
        for track, row in _pairs(tracks, found):
            track.update(found[row, :4])
            ids[row] = track.tracker_id
        for row in np.flatnonzero(ids < 0).tolist():
            track = Track(found[row, :4])
            track.tracker_id = ids[row] = begun
            tracks.append(track)
            begun += 1
        tracks[:] = [track for track in tracks if track.time_since_update < longest]
        return ids

    return follow


def _pairs(tracks: list[Track], found: Detections) -> list[tuple[Track, int]]:
    """Each track that goes on, and the row of its face: those that overlap most in sum (the Hungarian method)."""
    if not tracks or not len(found):
        return []
    shared = overlaps(np.stack([track.state[:4, 0] for track in tracks]), found)
    pairs = zip(*linear_sum_assignment(shared, maximize=True), strict=True)
    return [(tracks[track], int(row)) for track, row in pairs if shared[track, row] >= LEAST_OVERLAP]
