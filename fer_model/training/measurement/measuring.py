"""Figures for the detector's model card: average precision on clean and degraded photographs, close-ups by group."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_model.boxes import iou
from fer_model.engines.detection import LONG_SIDE, faces_among, letterbox, to_picture
from fer_model.networks.loading import load_detector, raw_detector
from fer_model.training.datasets.faces import LabelledPhotograph
from fer_model.training.degrade import KINDS, degrade
from fer_model.training.measurement.average_precision import Boxes, average_precision
from fer_model.types import Image

HEIGHTS = (10, 16, 32)
LEAST_SCORE, CLEAR_SCORE = 0.01, 0.35

Detect = Callable[[Image], Boxes]
"""From a picture to boxes (N, 5): x1, y1, x2, y2 in its pixels, and the score."""


def float_detector(weights: Path) -> Detect:
    """The network in single precision, on this processor."""
    import torch

    from fer_model.engines.tensors import boxes_of

    network = raw_detector(load_detector(weights))

    def detect(image: Image) -> Boxes:
        picture, scale = letterbox(image)
        with torch.inference_mode():
            distances, scores = network(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)
            (boxes,) = boxes_of(distances, scores, (picture.shape[0], picture.shape[1])).numpy()
        faces = faces_among(boxes, LEAST_SCORE)
        return to_picture(faces, scale, image.shape[1], image.shape[0])

    return detect


def quantised_detector(quantised: Path, cache: Path) -> Detect:
    """The shipped INT8 detector, as workers run it; `cache` as in `load_engine`."""
    from fer_model.engines import load_engine
    from fer_model.networks.manifest import given_file, read_models

    models = read_models()
    detector = replace(models.detector, graph=given_file(quantised))
    engine = load_engine(replace(models, detector=detector), "cpu", cache)
    return lambda image: engine.start([image], LEAST_SCORE)()[0]


def precision(detect: Detect, photographs: Iterable[LabelledPhotograph]) -> dict[int, float]:
    """AP50 (0..1) for faces of at least 10, 16 and 32 pixels in the 640-pixel picture; smaller ones are ignored."""
    found, truth = [], []
    for photograph in photographs:
        scale = LONG_SIDE / max(photograph.image.shape[:2])
        faces = detect(photograph.image)
        found.append(np.concatenate((faces[:, :4] * scale, faces[:, 4:]), axis=1))
        truth.append(photograph.boxes * scale)
    return {height: average_precision(found, truth, height) for height in HEIGHTS}


def shares_found(
    detect: Detect, photographs: Iterable[LabelledPhotograph], groups: Mapping[str, str]
) -> dict[str, tuple[float, int]]:
    """The share (0..1) of photographs whose face is found, and their number, by group; `groups` by file name.

    A face is found by a box with a score of at least `CLEAR_SCORE` and an IoU of at least 0.5 with the first box.
    """
    hits: dict[str, list[bool]] = {}
    for photograph in photographs:
        faces = detect(photograph.image)
        clear = faces[faces[:, 4] >= CLEAR_SCORE]
        hits.setdefault(groups[photograph.path.name], []).append(bool((iou(clear, photograph.boxes[:1]) >= 0.5).any()))
    return {group: (float(np.mean(found)), len(found)) for group, found in sorted(hits.items())}


def cut_photographs(photographs: Iterable[LabelledPhotograph], share: float) -> Iterator[LabelledPhotograph]:
    """Each photograph without the part that lies beyond `share` (0..1) of its first face's side, and that face alone.

    Cut at the left, top, right and bottom in turn, so that the picture's edge runs through the face.
    """
    for number, photograph in enumerate(photographs):
        height, width = photograph.image.shape[:2]
        x1, y1, x2, y2 = photograph.boxes[0].clip(0, [width, height] * 2).tolist()
        across, down = share * (x2 - x1), share * (y2 - y1)
        edges = [0, 0, width, height]
        edges[number % 4] = round((x1 + across, y1 + down, x2 - across, y2 - down)[number % 4])
        left, top, right, bottom = edges
        face = np.array([[x1, y1, x2, y2]]).clip([left, top] * 2, [right, bottom] * 2) - [left, top] * 2
        image = np.ascontiguousarray(photograph.image[top:bottom, left:right])
        yield replace(photograph, image=image, boxes=face.astype(np.float32))


def degrade_photographs(photographs: Sequence[LabelledPhotograph]) -> list[LabelledPhotograph]:
    """Each photograph degraded by one of `degrade.KINDS`, in turn, like a video frame."""
    random = np.random.default_rng(0)
    return [
        replace(photograph, image=degrade(photograph.image, KINDS[number % len(KINDS)], random))
        for number, photograph in enumerate(photographs)
    ]
