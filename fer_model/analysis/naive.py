"""The naive frame-by-frame loop with the same weights: the baseline of `fer-batch bench`.

`python -m fer_model.analysis.naive MODELS CLIP DEVICE` prints frames per second, one number for each repetition. MODELS
is `ModelSet.as_json()`. It runs in a process of its own, so that torch's threads and memory stay apart from ours.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from fer_model.networks.architectures import STRIDES
from fer_model.networks.loading import DETECTOR_CONFIG, load_classifier, load_detector
from fer_model.networks.manifest import ModelSet
from fer_model.preprocess import FACE_SIZE, normalise
from fer_model.telemetry import disable_ultralytics_telemetry

if TYPE_CHECKING:
    from torch import nn

FRAMES = 100
"""Frames of one repetition."""

REPETITIONS = 3
WARM_UP = 10
THRESHOLD = 0.4


def measure(models: ModelSet, clip: Path, device: str) -> list[float]:
    """Frames per second: OpenCV's reader, Ultralytics' call on each frame, PIL's crop, each network on each face.

    The repetitions start at the clip's beginning, at its middle, and as late as they fit.
    """
    detector = _ultralytics(models, device)
    members = [load_classifier(file.path).eval().to(device) for file in models.members]
    video = cv2.VideoCapture(str(clip))
    last = max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)) - FRAMES)
    _loop(video, WARM_UP, detector, members, models, device)
    rates = []
    for repetition in range(REPETITIONS):
        # Seeking is not part of the measured loop.
        video.set(cv2.CAP_PROP_POS_FRAMES, last * repetition // (REPETITIONS - 1))
        began = time.perf_counter()
        frames = _loop(video, FRAMES, detector, members, models, device)
        rates.append(frames / (time.perf_counter() - began))
    video.release()
    return rates


def _ultralytics(models: ModelSet, device: str) -> Any:
    """The detector behind Ultralytics' own interface, as if loaded from a checkpoint."""
    disable_ultralytics_telemetry()
    import torch
    from ultralytics.models import YOLO

    network = load_detector(models.detector.path).to(device)
    network.names, network.stride = {0: "face"}, torch.tensor(STRIDES, dtype=torch.float32)  # type: ignore[assignment]
    yolo: Any = YOLO(DETECTOR_CONFIG, task="detect")
    yolo.model = network
    return yolo


def _loop(
    video: cv2.VideoCapture, frames: int, detector: Any, members: "list[nn.Module]", models: ModelSet, device: str
) -> int:
    """Processes at most `frames` frames; gives the number processed."""
    import torch

    rows = []
    for number in range(frames):
        there, picture = video.read()
        if not there:
            return number
        (found,) = detector(picture, conf=THRESHOLD, device=device, verbose=False)
        image = Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        for box in found.boxes.xyxy.tolist():
            face = image.crop([round(side) for side in box]).convert("L").resize((FACE_SIZE, FACE_SIZE))  # type: ignore[arg-type]
            grey = torch.from_numpy(np.array(face))[None, None].to(device).float()
            with torch.no_grad():
                opinions = [member(normalise(grey)).softmax(1) for member in members]
            mixed = sum(share * opinion for share, opinion in zip(models.shares, opinions, strict=True))
            rows.append((number, box, mixed.cpu().tolist()))
    return frames


if __name__ == "__main__":
    print(*measure(ModelSet.from_json(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
