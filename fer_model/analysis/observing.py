"""From the boxes of a batch of frames to faces with emotions."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fer_model.analysis.ensemble import combine
from fer_model.analysis.quality import face_quality
from fer_model.engines import Engine
from fer_model.engines.detection import Detections
from fer_model.networks.manifest import ModelSet
from fer_model.types import EMOTIONS, FaceObservation, Frame

Ids = NDArray[np.int64]

Follow = Callable[[Detections, int], Ids]
"""From the faces (N, 5) of the next frame and its capture time in ms to their track ids (N,); -1 stands for none."""


def observe(
    frames: Sequence[Frame],
    found: Sequence[Detections],
    engine: Engine,
    models: ModelSet,
    track: Callable[[int], Ids | None],
    *,
    keep_members: bool,
) -> Iterator[list[FaceObservation]]:
    """The faces of each frame: cropped, classified, and given the track ids (-1: none) of `track(number)`."""
    crops = engine.crop([frame.image for frame in frames], found, models.margin)
    outputs = _classify(crops, engine, models)
    probabilities = combine(outputs, models.shares, models.temperature)
    # The whole batch in one call: the code stays in the processor's cache.
    tracks = [track(number) for number in range(len(frames))]
    names = [member.id for member in models.members] if keep_members else []
    start = 0
    for frame, boxes, ids in zip(frames, found, tracks, strict=True):
        rows = slice(start, start := start + len(boxes))
        members = dict(zip(names, outputs[:, rows], strict=False))
        yield _observations(frame, boxes, crops[rows], probabilities[rows], members, ids)


def _classify(crops: NDArray[np.uint8], engine: Engine, models: ModelSet) -> NDArray[np.float32]:
    if not len(crops):
        return np.zeros((len(models.members), 0, len(EMOTIONS)), np.float32)
    return engine.classify(crops)


def _observations(
    frame: Frame,
    boxes: Detections,
    crops: NDArray[np.uint8],
    probabilities: NDArray[np.float64],
    members: dict[str, NDArray[np.float32]],
    ids: Ids | None,
) -> list[FaceObservation]:
    width, height = frame.size
    across, down = width / frame.image.shape[1], height / frame.image.shape[0]
    original = boxes[:, :4].astype(np.float64) * (across, down, across, down)
    return [
        FaceObservation(
            box=tuple(original[i].tolist()),
            detection_score=float(box[4]),
            probabilities=tuple(probabilities[i].tolist()),
            quality=face_quality(crops[i], box, float(box[4])),
            track_id=None if ids is None or ids[i] < 0 else int(ids[i]),
            members={name: tuple(output[i].tolist()) for name, output in members.items()},
        )
        for i, box in enumerate(boxes)
    ]
