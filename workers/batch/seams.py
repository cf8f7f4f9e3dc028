"""Follows a segment's tracks beyond its end, so that they can be stitched to those of the next segment.

Both segments analyse the frame at a seam, which is the next segment's first. A track that is occluded there is
followed further, until its face returns or the tracker would drop it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from fer_model.analysis.observing import Follow, Ids
from fer_model.engines.detection import Detections
from fer_model.types import FaceObservation, Frame

Row = list[float]


@dataclass
class Seam:
    """The first box of each track at or after `end_ms`, its segment's end; None for the last segment of a video.

    `lost_ms` is how long the tracker waits for a face. `rows` are [frame_index, track_id, x1, y1, x2, y2], at most one
    per track; tracks that begin at or after the end belong to the next segment. `shared` is the frame at the seam, once
    it was analysed; `last_ms` is the time of each track's last box before the end.
    """

    end_ms: int | None
    lost_ms: float
    rows: list[Row] = field(default_factory=list)
    shared: Frame | None = None
    last_ms: dict[int, int] = field(default_factory=dict)

    def note(self, frame: Frame, faces: Iterable[FaceObservation]) -> bool:
        """Records the tracks in a frame; returns whether the frame belongs to the next segment."""
        tracks = {face.track_id: face.box for face in faces if face.track_id is not None}
        if self.end_ms is None or frame.time_ms < self.end_ms:
            self.last_ms |= dict.fromkeys(tracks, frame.time_ms)
            return False
        self.shared = self.shared or frame
        joined = {track for _, track, *_ in self.rows}
        self.rows += [
            [frame.index, track, *box] for track, box in tracks.items() if track in self.last_ms and track not in joined
        ]
        return True

    def waits_until(self) -> int | None:
        """The time in ms until which the last occluded track may return; None if no track is occluded."""
        if self.shared is None:
            return None
        joined = {track for _, track, *_ in self.rows}
        away = [int(last + self.lost_ms) for track, last in self.last_ms.items() if track not in joined]
        return max((until for until in away if until > self.shared.time_ms), default=None)

    def wait(self, seen: Iterator[tuple[Frame, list[FaceObservation]]]) -> None:
        """Records the tracks in frames from the shared one on, as long as an occluded track may return."""
        for frame, faces in seen:
            self.note(frame, faces)
            until = self.waits_until()
            if until is None or frame.time_ms >= until:
                return


def through(frames: Iterator[Frame], end_ms: int | None) -> Iterator[Frame]:
    """The frames up to and including the first at or after `end_ms`; all of them if it is None."""
    for frame in frames:
        yield frame
        if end_ms is not None and frame.time_ms >= end_ms:
            return


def after(time_ms: int, follow: Follow) -> Follow:
    """`follow` for the frames after `time_ms`; in earlier ones, which it has seen, faces get no track."""

    def follow_later(found: Detections, at_ms: int) -> Ids:
        return follow(found, at_ms) if at_ms > time_ms else np.full(len(found), -1, np.int64)

    return follow_later
