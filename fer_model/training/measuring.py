"""Figures for the detector's model card: its average precision, on clear and on degraded photographs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_model.detection import LONG_SIDE, decode_boxes, letterbox
from fer_model.networks import load_detector, raw_detector
from fer_model.training.average_precision import Boxes, average_precision
from fer_model.training.degrade import KINDS, degrade
from fer_model.training.faces import LabelledPhotograph
from fer_model.types import Image

Raw = tuple[NDArray[np.float32], NDArray[np.float32]]
HEIGHTS = (10, 16, 32)
LEAST_SCORE = 0.01


def detector_precision(weights: Path, photographs: Iterable[LabelledPhotograph]) -> dict[int, float]:
    """AP50 (0..1) for faces of at least 10, 16 and 32 pixels in the 640-pixel picture; smaller ones do not count."""
    import torch

    network = raw_detector(load_detector(weights))

    def detect(picture: Image) -> Raw:
        batch = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            distances, scores = network(batch)
        return distances[0].numpy(), scores[0].numpy()

    return _precision(detect, photographs)


def quantised_precision(quantised: Path, photographs: Iterable[LabelledPhotograph], cache: Path) -> dict[int, float]:
    """As `detector_precision`, of the shipped detector in eight bits on this processor; `cache` as in `load_engine`."""
    from fer_model.engines import load_engine
    from fer_model.manifest import given_file, read_models

    models = read_models()
    detector = replace(models.detector, quantised=given_file(quantised))
    engine = load_engine(replace(models, detector=detector), "cpu", cache)
    return _precision(lambda picture: next(iter(engine.detect([picture]))), photographs)


def _precision(detect: Callable[[Image], Raw], photographs: Iterable[LabelledPhotograph]) -> dict[int, float]:
    found, truth = [], []
    for photograph in photographs:
        picture, scale = letterbox(photograph.image)
        distances, scores = detect(picture)
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
