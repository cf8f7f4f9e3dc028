"""The filter of a box, against that of the package `trackers`."""

import numpy as np
from trackers.core.bytetrack.kalman_box_tracker import ByteTrackKalmanBoxTracker

from fer_model.analysis.kalman import BoxFilter


def test_boxes_and_velocities_are_those_of_the_package() -> None:
    """A face that moves, trembles, and is not seen for a while now and then."""
    random = np.random.default_rng(2)
    box = np.array((100, 120, 180, 220), np.float32)
    ours, theirs = BoxFilter(box), ByteTrackKalmanBoxTracker(box)
    speed = np.zeros(4, np.float32)
    for _ in range(500):
        speed = 0.95 * speed + random.normal(0, 1, 4).astype(np.float32)
        box = box + speed
        ours.predict()
        theirs.predict()
        if random.random() < 0.8:
            ours.update(box)
            theirs.update(box)
        np.testing.assert_allclose(ours.state.ravel(), theirs.state.ravel(), rtol=1e-5, atol=1e-3)
