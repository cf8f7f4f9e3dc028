"""Figures for model cards: the detector's average precision, the ensemble's accuracy and shares."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_model.detection import LONG_SIDE, decode_boxes, letterbox
from fer_model.networks import classifier_network, detector_network, load_weights, raw_detector
from fer_model.training.average_precision import Boxes, average_precision
from fer_model.training.classifier import predict
from fer_model.training.degrade import KINDS, degrade
from fer_model.training.faces import LabelledPhotograph
from fer_model.training.fer2013 import LabelledFaces

HEIGHTS = (10, 16, 32)
LEAST_SCORE = 0.01


def detector_precision(weights: Path, photographs: Sequence[LabelledPhotograph]) -> dict[int, float]:
    """AP50 (0..1) for faces of at least 10, 16 and 32 pixels in the 640-pixel picture; smaller ones do not count."""
    import torch

    network = raw_detector(load_weights(detector_network(), weights))
    found, truth = [], []
    for photograph in photographs:
        picture, scale = letterbox(photograph.image)
        batch = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            distances, scores = (part[0].numpy() for part in network(batch))
        found.append(_within(decode_boxes(distances, scores, picture.shape[:2], LEAST_SCORE), photograph, scale))
        truth.append(photograph.boxes * scale)
    return {height: average_precision(found, truth, height) for height in HEIGHTS}


def degrade_photographs(photographs: Sequence[LabelledPhotograph], seed: int = 0) -> list[LabelledPhotograph]:
    """Each photograph with one of `degrade.KINDS`, in turn: what a video camera would have made of it."""
    random = np.random.default_rng(seed)
    return [
        replace(photograph, image=degrade(photograph.image, KINDS[number % len(KINDS)], random))
        for number, photograph in enumerate(photographs)
    ]


def _within(boxes: Boxes, photograph: LabelledPhotograph, scale: float) -> Boxes:
    """Boxes clipped to the part of the 640-pixel square that the picture fills."""
    height, width = (side * scale for side in photograph.image.shape[:2])
    clipped = boxes.copy()
    clipped[:, 0:4:2] = clipped[:, 0:4:2].clip(0, min(width, LONG_SIDE))
    clipped[:, 1:4:2] = clipped[:, 1:4:2].clip(0, min(height, LONG_SIDE))
    return clipped


def member_outputs(weights: Sequence[Path], faces: LabelledFaces) -> NDArray[np.float32]:
    """Each classifier's softmax output (members, N, 7)."""
    return np.stack([predict(load_weights(classifier_network(), path), faces.images) for path in weights])


def accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Share of faces whose most probable emotion is the label, 0..1."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def fit_shares(outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, float]:
    """The shares of two members, in steps of 0.05, with the least cross-entropy on the labels.

    Cross-entropy, not accuracy: it changes smoothly, so that a handful of faces decides nothing.
    """

    def loss(share: float) -> float:
        mixed = share * outputs[0] + (1 - share) * outputs[1]
        return float(-np.log(np.maximum(mixed[np.arange(len(labels)), labels], 1e-12)).mean())

    best = min((step / 20 for step in range(21)), key=loss)
    return best, round(1 - best, 2)
