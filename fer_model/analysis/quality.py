"""Quality of a face crop: size, sharpness, detection score and symmetry."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_model.preprocess import FACE_SIZE

SHARP_VARIANCE = 150.0
"""Variance of the Laplacian of a 48x48 crop at which its sharpness is 0.5."""

COARSE = 24
"""Side in pixels at which the symmetry is measured: eyes and mouth remain, wrinkles and noise do not."""

LIGHT = 7
"""Side in pixels of the mean that is subtracted there: light from one side is no asymmetry."""

SLACK = 2
"""The axis of symmetry lies at most so many half pixels beside the middle."""

FRONTAL = 0.2
"""Symmetry from which a face counts as seen from the front."""


def face_quality(face: NDArray[np.uint8], box: NDArray[np.float32], score: float) -> float:
    """0 (useless) to 1 (large, sharp, certain, from the front): the geometric mean of three values in 0..1, less for a
    face that is turned, tilted or half covered.

    Size: the box's shorter side divided by 48 pixels, the classifier's input, at most 1.
    Sharpness: v / (v + 150) with v the variance of the Laplacian of the (48, 48) crop
    (Pech-Pacheco et al., 2000). Certainty: the detection score. A symmetry below 0.2 lowers the mean, at 0 to its half.
    """
    size = min(1.0, float(min(box[2] - box[0], box[3] - box[1])) / FACE_SIZE)
    variance = float(cv2.Laplacian(face, cv2.CV_64F).var())
    sharpness = variance / (variance + SHARP_VARIANCE)
    pose = (1 + min(1.0, symmetry(face) / FRONTAL)) / 2
    return float((size * sharpness * score) ** (1 / 3)) * pose


def symmetry(face: NDArray[np.uint8]) -> float:
    """How alike the halves of a (48, 48) crop are, 0..1: the largest correlation of the face, without its light, with
    its mirror image, over some vertical axes about the middle.

    Profiles have about 0.1, faces from the front 0.5.
    """
    coarse = cv2.resize(face, (COARSE, COARSE), interpolation=cv2.INTER_AREA).astype(np.float32)
    relief = coarse - cv2.blur(coarse, (LIGHT, LIGHT))
    # The products of all pairs of columns at once; a mirror's axis is an antidiagonal.
    products = relief.T @ relief
    mirrored, energy = products[:, ::-1], products.diagonal()
    places = range(-SLACK, SLACK + 1)
    spans = (energy[max(0, -at) : COARSE - max(0, at)].sum() for at in places)
    return max(0.0, *(float(mirrored.trace(at) / (span + 1.0)) for at, span in zip(places, spans, strict=True)))
