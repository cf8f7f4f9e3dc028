"""Quality of a face crop: size, sharpness and detection score."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_model.preprocess import FACE_SIZE

SHARP_VARIANCE = 150.0
"""Variance of the Laplacian of a 48x48 crop at which its sharpness is 0.5."""


def face_quality(face: NDArray[np.uint8], box: NDArray[np.float32], score: float) -> float:
    """0 (useless) to 1 (large, sharp, certain): the geometric mean of three values in 0..1.

    Size: the box's shorter side divided by 48 pixels, the classifier's input, at most 1.
    Sharpness: v / (v + 150) with v the variance of the Laplacian of the (48, 48) crop
    (Pech-Pacheco et al., 2000). Certainty: the detection score.
    """
    size = min(1.0, float(min(box[2] - box[0], box[3] - box[1])) / FACE_SIZE)
    variance = float(cv2.Laplacian(face, cv2.CV_64F).var())
    sharpness = variance / (variance + SHARP_VARIANCE)
    return float((size * sharpness * score) ** (1 / 3))
