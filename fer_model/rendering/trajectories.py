"""Where each face of a video is at any moment: its box between the frames in which it was detected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_model.types import FaceObservation


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One track, or one face without a track, of a video.

    `times_ms` (n,) rise; `values` (n, 13) are for each of them x1, y1, x2, y2 in pixels, the detection score, the
    quality and the seven probabilities.
    """

    track_id: int | None
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def at(self, time_ms: int) -> FaceObservation:
        """The face at a moment: between two detections in a straight line, before and after them as it was there."""
        after = int(np.searchsorted(self.times_ms, time_ms))
        if after == 0 or after == len(self.times_ms):
            row = self.values[min(after, len(self.times_ms) - 1)]
        else:
            begins, ends = self.times_ms[after - 1 : after + 1]
            share = (time_ms - begins) / (ends - begins)
            row = (1 - share) * self.values[after - 1] + share * self.values[after]
        x1, y1, x2, y2, score, quality, *probabilities = row.tolist()
        return FaceObservation((x1, y1, x2, y2), score, tuple(probabilities), quality, self.track_id)


class Trajectories:
    """All faces of a video over time."""

    def __init__(self, paths: Sequence[Trajectory], hold_ms: int) -> None:
        """`hold_ms`: so long before its first and after its last detection a face counts as still there."""
        self._paths = paths
        self._first = np.array([path.times_ms[0] - hold_ms for path in paths], np.int64)
        self._last = np.array([path.times_ms[-1] + hold_ms for path in paths], np.int64)

    def at(self, time_ms: int) -> list[FaceObservation]:
        """The faces at a moment."""
        there = np.flatnonzero((self._first <= time_ms) & (time_ms <= self._last))
        return [self._paths[int(number)].at(time_ms) for number in there]


def trajectories_of(rows: Iterator[tuple[int | None, int, Sequence[float]]]) -> list[Trajectory]:
    """The paths that rows (track, time in ms, the 13 values) make up, which come in the order of time."""
    found: dict[object, tuple[int | None, list[int], list[Sequence[float]]]] = {}
    for number, (track_id, time_ms, values) in enumerate(rows):
        # Faces without a track are each by themselves.
        key = ("track", track_id) if track_id is not None else ("face", number)
        _, times, boxes = found.setdefault(key, (track_id, [], []))
        # Two pictures of a damaged file may have the same time; the first one counts.
        if not times or time_ms > times[-1]:
            times.append(time_ms)
            boxes.append(values)
    return [
        Trajectory(track, np.array(times, np.int64), np.array(boxes, float)) for track, times, boxes in found.values()
    ]
