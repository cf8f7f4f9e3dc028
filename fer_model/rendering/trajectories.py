"""Trajectories of a video's faces: boxes interpolated between the frames in which they were detected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_model.types import FaceObservation


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One track, or one face without a track, of a video.

    `places` (n,) are the indices of the frames in which it was detected, and rise; `times_ms` (n,) are their times and
    may repeat. `values` (n, 13) are for each of them x1, y1, x2, y2 in pixels, the detection score, the quality and the
    seven probabilities.
    """

    track_id: int | None
    places: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def at(self, place: int, time_ms: int) -> FaceObservation:
        """The face in a frame: interpolated linearly between two detections, constant before and after them."""
        after = int(np.searchsorted(self.places, place))
        if after == len(self.places) or after == 0 or self.places[after] == place:
            row = self.values[min(after, len(self.places) - 1)]
        else:
            share = self._share(after, place, time_ms)
            row = (1 - share) * self.values[after - 1] + share * self.values[after]
        x1, y1, x2, y2, score, quality, *probabilities = row.tolist()
        return FaceObservation((x1, y1, x2, y2), score, tuple(probabilities), quality, self.track_id)

    def _share(self, after: int, place: int, time_ms: int) -> float:
        """The frame's position between two detections, 0..1: by time, or by index where their times are equal."""
        begins, ends = self.times_ms[after - 1 : after + 1].tolist()
        if begins <= time_ms <= ends and begins < ends:
            return (time_ms - begins) / (ends - begins)
        begins, ends = self.places[after - 1 : after + 1].tolist()
        return (place - begins) / (ends - begins)


class Trajectories:
    """All faces of a video, frame by frame."""

    def __init__(self, paths: Sequence[Trajectory], hold_ms: int, looked_at: NDArray[np.int64] | None = None) -> None:
        """A face is shown for `hold_ms` before its first and after its last detection.

        With `looked_at`, the indices of all detected frames, also from the detected frame before the first detection
        to the one after the last, however far apart: it may be present in between.
        """
        self._paths = paths
        self._first_ms = np.array([path.times_ms[0] - hold_ms for path in paths], np.int64)
        self._last_ms = np.array([path.times_ms[-1] + hold_ms for path in paths], np.int64)
        first = np.array([path.places[0] for path in paths], np.int64)
        last = np.array([path.places[-1] for path in paths], np.int64)
        seen = np.sort(np.concatenate((first, last) if looked_at is None else (looked_at, first, last)))
        bounded = np.concatenate(([-1], seen, [np.iinfo(np.int64).max]))
        exact = looked_at is None
        self._after = first - 1 if exact else bounded[np.searchsorted(seen, first)]
        self._before = last + 1 if exact else bounded[np.searchsorted(seen, last, side="right") + 1]

    def at(self, place: int, time_ms: int) -> list[FaceObservation]:
        """The faces in a frame."""
        held = (self._first_ms <= time_ms) & (time_ms <= self._last_ms)
        between = (self._after < place) & (place < self._before)
        return [self._paths[int(number)].at(place, time_ms) for number in np.flatnonzero(held | between)]


def trajectories_of(rows: Iterator[tuple[int | None, int, int, Sequence[float]]]) -> list[Trajectory]:
    """Trajectories from rows (track, frame index, time in ms, the 13 values), which come in the order of frames."""
    found: dict[object, tuple[int | None, list[int], list[int], list[Sequence[float]]]] = {}
    for number, (track_id, place, time_ms, values) in enumerate(rows):
        # Each face without a track is a trajectory of its own.
        key = ("track", track_id) if track_id is not None else ("face", number)
        _, places, times, boxes = found.setdefault(key, (track_id, [], [], []))
        if not places or place > places[-1]:
            places.append(place)
            times.append(time_ms)
            boxes.append(values)
    return [
        Trajectory(track, np.array(places, np.int64), np.array(times, np.int64), np.array(boxes, float))
        for track, places, times, boxes in found.values()
    ]
