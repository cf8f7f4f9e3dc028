"""Figures for the detector's model card: its average precision, on clear and on degraded photographs."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_model.detection import LONG_SIDE, decode_boxes, letterbox
from fer_model.networks import load_detector, raw_detector
from fer_model.training.average_precision import Boxes, average_precision
from fer_model.training.degrade import KINDS, degrade
from fer_model.training.faces import LabelledPhotograph

HEIGHTS = (10, 16, 32)
LEAST_SCORE = 0.01


def detector_precision(weights: Path, photographs: Iterable[LabelledPhotograph]) -> dict[int, float]:
    """AP50 (0..1) for faces of at least 10, 16 and 32 pixels in the 640-pixel picture; smaller ones do not count."""
    import torch

    network = raw_detector(load_detector(weights))
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
