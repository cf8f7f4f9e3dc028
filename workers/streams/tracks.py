"""The rows of tracks, from running means: a stream has no end at which they could be computed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fer_model.types import EMOTIONS, FaceObservation

Row = dict[str, Any]

GRACE_MS = 500
"""A track has ended when it was unseen so much longer than the tracker waits for it."""


@dataclass(slots=True)
class _Track:
    media_id: int
    first_ms: int
    last_ms: int
    seen_at_ms: int
    is_written: bool = False
    observations: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * len(EMOTIONS))

    def add(self, time_ms: int, at_ms: int, probabilities: Sequence[float]) -> None:
        # A clock may be set back.
        self.first_ms, self.last_ms = min(self.first_ms, time_ms), max(self.last_ms, time_ms)
        self.seen_at_ms, self.is_written = at_ms, False
        self.observations += 1
        self.sums = [total + each for total, each in zip(self.sums, probabilities, strict=True)]

    def row(self, track_id: int) -> Row:
        self.is_written = True
        means = [total / self.observations for total in self.sums]
        return {
            "media_id": self.media_id,
            "track_id": track_id,
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            "observations": self.observations,
            "emotion": EMOTIONS[max(range(len(EMOTIONS)), key=means.__getitem__)],
            **dict(zip(EMOTIONS, means, strict=True)),
        }


class Tracks:
    """The open tracks of one stream, each with the mean of each probability in its medium.

    A track that goes on in the next medium gets a row in each. One that goes on after its row was written gets another,
    of all its faces.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Track] = {}

    @property
    def is_written(self) -> bool:
        """Whether all rows are written as they are now."""
        return all(track.is_written for track in self._open.values())

    def add(self, media_id: int, time_ms: int, at_ms: int, faces: Iterable[FaceObservation]) -> list[Row]:
        """Adds the faces of one frame, which is at `time_ms` in its medium; the rows of tracks that left another."""
        left = []
        for face in faces:
            if (number := face.track_id) is None:
                continue
            track = self._open.get(number)
            if track is None or track.media_id != media_id:
                if track is not None:
                    left.append(track.row(number))
                track = self._open[number] = _Track(media_id, time_ms, time_ms, at_ms)
            track.add(time_ms, at_ms, face.probabilities)
        return left

    def ended(self, at_ms: int, lost_ms: float) -> list[Row]:
        """The rows, if not written yet, of tracks that have ended by this time, in ms since 1970; they are forgotten.

        `lost_ms` is how long the tracker waits for a face.
        """
        longest_ms = lost_ms + GRACE_MS
        ended = [number for number, track in self._open.items() if abs(at_ms - track.seen_at_ms) > longest_ms]
        return _rows({number: self._open.pop(number) for number in ended})

    def rows(self) -> list[Row]:
        """The rows of all open tracks that are not written yet; the tracks may go on."""
        return _rows(self._open)


def _rows(tracks: Mapping[int, _Track]) -> list[Row]:
    return [track.row(number) for number, track in tracks.items() if not track.is_written]
