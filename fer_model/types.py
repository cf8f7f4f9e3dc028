"""The values passed between the stages of the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The seven classes in FER-2013's order (Goodfellow et al., 2013): label 0 is angry, 6 is neutral."""

Image = NDArray[np.uint8]
"""A picture: (height, width, 3), RGB, 0..255, turned upright as a viewer shows it."""

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the original picture."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    `index` is its rank in the whole medium in presentation order, from 0, sampled or not;
    `time_ms` its time in milliseconds from the medium's first picture (0 for a photograph). `original` is
    (width, height) of the picture that `image` is a smaller version of; None if it is the picture itself.
    """

    index: int
    time_ms: int
    image: Image
    original: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the original picture."""
        return self.original or (self.image.shape[1], self.image.shape[0])


@dataclass(frozen=True, slots=True)
class FaceObservation:
    """One face in one frame.

    `box` is (x1, y1, x2, y2) in pixels of the original picture; `detection_score` and `quality`
    lie in 0..1; `probabilities` follow `EMOTIONS` and sum to 1; `track_id` counts from 0 within
    one source and is None where faces are not tracked (photographs). `members` has the seven probabilities of each
    classifier by its id (`WeightsFile.id`); empty unless they are kept.
    """

    box: Box
    detection_score: float
    probabilities: tuple[float, ...]
    quality: float
    track_id: int | None = None
    members: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return EMOTIONS[max(range(len(EMOTIONS)), key=self.probabilities.__getitem__)]

    @property
    def confidence(self) -> float:
        """The probability of `emotion`, 0..1."""
        return max(self.probabilities)
