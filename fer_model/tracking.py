"""Follows faces through one video."""

from collections.abc import Callable
from typing import Any

import numpy as np
import supervision
from numpy.typing import NDArray
from trackers import ByteTrackTracker

from fer_model.detection import Detections

LOST_SECONDS = 1.0
"""A face that is away for longer comes back under a new id."""


def face_tracker(frame_rate: float, threshold: float) -> Callable[[Detections], NDArray[np.int64]]:
    """A function that gives the faces of one frame after another their track ids, from 0 on.

    ByteTrack (Zhang et al., 2022) with the `trackers` package; `frame_rate` in frames per second
    is that of the frames it will see, `threshold` the score from which a face starts a track.
    """
    tracker = _ByteTrack(
        lost_track_buffer=max(1, round(30 * LOST_SECONDS)),
        # The buffer counts in frames of 30 a second; below 1 a second, faces are still followed from frame to frame.
        frame_rate=max(frame_rate, 30.0 / 30 / LOST_SECONDS),
        track_activation_threshold=threshold,
        high_conf_det_threshold=threshold,
        minimum_consecutive_frames=1,
    )
    ids: dict[int, int] = {}

    def follow(found: Detections) -> NDArray[np.int64]:
        detections = supervision.Detections(
            xyxy=found[:, :4], confidence=found[:, 4], data={"row": np.arange(len(found))}
        )
        followed = tracker.update(detections)
        rows = followed.data.get("row", np.zeros(0, int))
        tracks = np.full(len(found), -1, np.int64)
        for row, track in zip(rows, followed.tracker_id, strict=True):
            tracks[row] = ids.setdefault(int(track), len(ids))
        return tracks

    return follow


class _ByteTrack(ByteTrackTracker):  # type: ignore[misc]
    """ByteTrack that names a track at its first box; the package waits for the second."""

    def _spawn_new_trackers(self, *arguments: Any) -> None:
        tracks_before, updated = len(self.tracks), arguments[-1]
        updates_before = len(updated)
        super()._spawn_new_trackers(*arguments)
        for track, found in zip(self.tracks[tracks_before:], updated[updates_before:], strict=True):
            track.tracker_id = track.get_next_tracker_id()
            found.tracker_id = np.array([track.tracker_id])
