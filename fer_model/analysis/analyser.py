"""The frame pipeline: pictures in, faces with emotions out; reading, finding faces and judging them at once."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from fer_model.analysis.ensemble import combine
from fer_model.analysis.lookahead import BATCH_BYTES as BATCH_BYTES
from fer_model.analysis.lookahead import BATCH_FRAMES as BATCH_FRAMES
from fer_model.analysis.lookahead import batched, detected
from fer_model.analysis.quality import face_quality
from fer_model.engines import Engine
from fer_model.engines.detection import Detections
from fer_model.networks.manifest import ModelSet
from fer_model.sources.sampling import Sampling
from fer_model.types import EMOTIONS, FaceObservation, Frame

Follow = Callable[[Detections], NDArray[np.int64]]


def analyse(
    frames: Iterable[Frame],
    engine: Engine,
    models: ModelSet,
    threshold: float,
    follow: Follow | None = None,
    detect_on: Sampling | None = None,
    *,
    keep_members: bool = False,
    on_batch: Callable[[int], None] = lambda frames: None,
) -> Generator[tuple[Frame, list[FaceObservation]]]:
    """The faces of each frame, in the order of the frames.

    `threshold` is the lowest detection score that counts, 0..1; `follow` gives track ids
    (`face_tracker`), without it faces have none. With `detect_on`, faces are looked for in the frames it keeps, the
    first and the last; those of the others are taken from the two around them that were looked at (`between`).
    `keep_members` fills `FaceObservation.members`; `on_batch` is told of each batch how many of its frames the
    detector saw. At most four batches are held in memory, and what the engine takes ahead. An exception in `frames`
    comes out here, after the frames before it.
    At the end, and when this is closed earlier, `frames` is closed if it is a generator.
    """
    with closing(detected(batched(frames, detect_on or Sampling()), engine, threshold)) as batches:
        for batch, found, looked_at in batches:
            on_batch(looked_at)
            crops = engine.crop([frame.image for frame in batch], found, models.margin)
            outputs = _classify(crops, engine, models)
            probabilities = combine(outputs, models.shares, models.temperature)
            # All of a batch at once: what is called again and again stays in the processor's cache.
            tracks = [follow(boxes) if follow else None for boxes in found]
            start = 0
            for frame, boxes, track in zip(batch, found, tracks, strict=True):
                end = start + len(boxes)
                members = outputs[:, start:end] if keep_members else None
                yield frame, _observations(frame, boxes, crops[start:end], probabilities[start:end], members, track)
                start = end


def _classify(crops: NDArray[np.uint8], engine: Engine, models: ModelSet) -> NDArray[np.float32]:
    if not len(crops):
        return np.zeros((len(models.members), 0, len(EMOTIONS)), np.float32)
    return engine.classify(crops)


def _observations(
    frame: Frame,
    boxes: Detections,
    crops: NDArray[np.uint8],
    probabilities: NDArray[np.float64],
    members: NDArray[np.float32] | None,
    tracks: NDArray[np.int64] | None,
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
            track_id=None if tracks is None or tracks[i] < 0 else int(tracks[i]),
            members=() if members is None else tuple(map(tuple, members[:, i].tolist())),
        )
        for i, box in enumerate(boxes)
    ]
