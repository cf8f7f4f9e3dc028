"""Following the faces of a video's segment beyond its end, to where the next segment's tracks can join.

The frame at a seam is the next segment's first, and is looked at by both. Whoever is hidden just there is waited for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fer_model.analysis.tracking import LOST_SECONDS
from fer_model.types import FaceObservation, Frame

LOST_MS = round(1000 * LOST_SECONDS)

Row = list[float]


@dataclass
class Seam:
    """Where the tracks of a segment that ends at `end_ms` are seen first from there on; `end_ms` None: it has no end.

    `rows` are [frame_index, track_id, x1, y1, x2, y2], at most one of each track; tracks that begin beyond the
    end are the next segment's. `shared` is the frame at the seam, once it was seen.
    """

    end_ms: int | None
    rows: list[Row] = field(default_factory=list)
    shared: Frame | None = None
    last_ms: dict[int, int] = field(default_factory=dict)

    def note(self, frame: Frame, faces: Iterable[FaceObservation]) -> bool:
        """Takes note of who is in a frame; says whether it lies beyond the end, and is the next segment's."""
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
        """The time in ms up to which a track that has not been seen again may come back; None if there is none."""
        if self.shared is None:
            return None
        joined = {track for _, track, *_ in self.rows}
        away = [last + LOST_MS for track, last in self.last_ms.items() if track not in joined]
        return max((until for until in away if until > self.shared.time_ms), default=None)

    def wait(self, seen: Iterator[tuple[Frame, list[FaceObservation]]]) -> None:
        """Takes note of frames after the shared one, as long as somebody may come back."""
        for frame, faces in seen:
            self.note(frame, faces)
            until = self.waits_until()
            if until is None or frame.time_ms >= until:
                return


def through(frames: Iterator[Frame], end_ms: int | None) -> Iterator[Frame]:
    """The frames up to the first at or after `end_ms`, and that one too; all of them where it is None."""
    for frame in frames:
        yield frame
        if end_ms is not None and frame.time_ms >= end_ms:
            return


def after(frames: Iterator[Frame], index: int) -> Iterator[Frame]:
    """The frames after the one with this index."""
    return (frame for frame in frames if frame.index > index)
