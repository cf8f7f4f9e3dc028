"""What a visitor shows to the webcam: the faces of each frame, and the last minute. Knows no Streamlit."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Full
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_model.analysis.analyser import Analyser, SourceState
from fer_model.analysis.tracking import face_tracker
from fer_model.types import EMOTIONS, FaceObservation, Frame, Image

SMOOTHING_S = 0.7
"""Time constant of the exponential mean over a face's probabilities."""

MEMORY_S = 60.0
RATE_S = 3.0
"""Seconds over which frames per second and delays are taken."""

NOMINAL_FPS = 12.0


class Moment(NamedTuple):
    """One frame: when it came (seconds, monotonic), how long it took, and each face's emotion and confidence."""

    at_s: float
    took_s: float
    faces: Mapping[int, tuple[str, float]]


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """Frames a second, and delays in milliseconds from a frame's arrival to its faces; of the last seconds."""

    fps: float
    p50_ms: float
    p95_ms: float
    dropped: int


class Watch:
    """One visitor's webcam. Every method may be called by any thread."""

    def __init__(self, analyser: Analyser, threshold: float) -> None:
        self.analyser = analyser
        self._source = SourceState(threshold, face_tracker(NOMINAL_FPS, first_id=1))
        self._busy = Lock()
        self._began_s = time.monotonic()
        self._index = 0
        self._means: dict[int, tuple[float, NDArray[np.float64]]] = {}
        self._moments: deque[Moment] = deque()
        self.dropped = 0
        self.record: Callable[[tuple[int, int], list[FaceObservation]], None] | None = None
        """Takes each frame's size and faces, not smoothed, while the visitor records."""

    def look(self, image: Image) -> list[FaceObservation] | None:
        """The faces of the next frame, with smoothed probabilities and track ids; None if it was dropped, because
        another is being looked at.

        Raises what the engine raises, and `RuntimeError` once the analyser is closed.
        """
        if not self._busy.acquire(blocking=False):
            self.dropped += 1
            return None
        try:
            at_s = time.monotonic()
            frame = Frame(self._index, round(1000 * (at_s - self._began_s)), image)
            found = self.analyser.submit(frame, self._source, timeout=0).result()
            self._index += 1
            # Once: another thread may end the recording at this moment.
            if (record := self.record) is not None:
                record(frame.size, found)
            faces = [self._smoothed(face, at_s) for face in found]
            self._remember(at_s, faces)
            return faces
        except Full:
            self.dropped += 1
            return None
        finally:
            self._busy.release()

    def moments(self) -> list[Moment]:
        """The frames of the last minute, the oldest first."""
        oldest = time.monotonic() - MEMORY_S
        return [moment for moment in tuple(self._moments) if moment.at_s >= oldest]

    def figures(self) -> LiveFigures:
        """How fast it goes at present."""
        oldest = time.monotonic() - RATE_S
        took = sorted(moment.took_s for moment in tuple(self._moments) if moment.at_s >= oldest)
        if not took:
            return LiveFigures(0.0, 0.0, 0.0, self.dropped)
        p50, p95 = (1000 * took[min(len(took) - 1, int(share * len(took)))] for share in (0.5, 0.95))
        return LiveFigures(len(took) / RATE_S, p50, p95, self.dropped)

    def _smoothed(self, face: FaceObservation, at_s: float) -> FaceObservation:
        """The face with the exponential mean of its track's probabilities."""
        assert face.track_id is not None
        now = np.asarray(face.probabilities)
        last_s, mean = self._means.get(face.track_id, (at_s, now))
        mean = mean + (1 - math.exp(-(at_s - last_s) / SMOOTHING_S)) * (now - mean)
        self._means[face.track_id] = (at_s, mean)
        return FaceObservation(face.box, face.detection_score, tuple(mean.tolist()), face.quality, face.track_id)

    def _remember(self, at_s: float, faces: list[FaceObservation]) -> None:
        seen = {face.track_id: (face.emotion, face.confidence) for face in faces if face.track_id is not None}
        self._moments.append(Moment(at_s, time.monotonic() - at_s, seen))
        oldest = at_s - MEMORY_S
        while self._moments[0].at_s < oldest:
            self._moments.popleft()
        self._means = {track: mean for track, mean in self._means.items() if mean[0] >= oldest}


@dataclass(frozen=True, slots=True)
class Person:
    """A track of the last minute.

    `emotion` is what it shows now, None if it is not in the picture; `steps` what it showed in each step of the minute.
    """

    track_id: int
    emotion: str | None
    confidence: float
    steps: tuple[str | None, ...]

    @property
    def dominant(self) -> tuple[str, float]:
        """The emotion shown in most steps, and the share of the steps with a face in which it was."""
        seen = [emotion for emotion in self.steps if emotion]
        most = max(EMOTIONS, key=seen.count)
        return most, seen.count(most) / len(seen)


STEPS = 120
NOW_S, NOW_FRAMES = 1.5, 3
"""A face is in the picture if it was seen within so many seconds, or in one of the last so many frames."""

STILL_S = 10.0
"""A face that was seen longer ago than this is not in the picture, even if no frame has come since."""

MOST = 4
"""Most people shown."""


def people(moments: list[Moment], now_s: float) -> list[Person]:
    """The tracks of the last minute in `STEPS` steps; those seen last, at most `MOST`, by their numbers."""
    steps: dict[int, list[str | None]] = {}
    last: dict[int, Moment] = {}
    for moment in moments:
        step = int((moment.at_s - (now_s - MEMORY_S)) / MEMORY_S * STEPS)
        for track, (emotion, _) in moment.faces.items():
            steps.setdefault(track, [None] * STEPS)[min(max(step, 0), STEPS - 1)] = emotion
            last[track] = moment
    present_s = min([now_s - NOW_S, *(moment.at_s for moment in moments[-NOW_FRAMES:])])
    newest = sorted(steps, key=lambda track: (last[track].at_s, -track))[-MOST:]
    return [_person(track, last[track], max(present_s, now_s - STILL_S), steps[track]) for track in sorted(newest)]


def _person(track: int, last: Moment, present_s: float, steps: list[str | None]) -> Person:
    emotion, confidence = last.faces[track]
    return Person(track, emotion if last.at_s >= present_s else None, confidence, tuple(steps))
