"""The Kalman filter of a box: constant velocity, as in ByteTrack (Zhang et al., 2022).

The variances are those of the package `trackers` 2.1.
"""

import numpy as np
from numpy.typing import NDArray

STEP = np.array(((1, 1), (0, 1)), np.float32)
"""The next position and velocity from these."""

PROCESS = np.eye(2, dtype=np.float32) * np.float32(0.01)
MEASUREMENT = np.float32(0.1)
"""Variances, in square pixels: what a frame adds to position and velocity, and that of a detected box."""


class BoxFilter:
    """The state (2, 4) of a box: x1, y1, x2, y2 in pixels, and their velocities per frame.

    The four coordinates are filtered alike, so one covariance (2, 2) of position and velocity serves them all.
    """

    def __init__(self, box: NDArray[np.float32]) -> None:
        self.state = np.stack((box, np.zeros_like(box)))
        self._covariance = np.eye(2, dtype=np.float32)

    def predict(self) -> None:
        """Advances by one frame."""
        self.state = STEP @ self.state
        self._covariance = STEP @ self._covariance @ STEP.T + PROCESS

    def update(self, box: NDArray[np.float32]) -> None:
        """Takes a detected box (4,) into account."""
        gain = self._covariance[:, :1] / (self._covariance[0, 0] + MEASUREMENT)
        self.state = self.state + gain * (box - self.state[0])
        self._covariance = self._covariance - gain * self._covariance[0]
