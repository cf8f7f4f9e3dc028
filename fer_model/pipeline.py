"""The frame pipeline: pictures in, faces with emotions out; of three batches at a time each is in another stage."""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from fer_model.detection import Detections, decode_boxes, letterbox, to_picture
from fer_model.engines import Engine
from fer_model.ensemble import combine
from fer_model.manifest import Models
from fer_model.preprocess import crop_face
from fer_model.quality import face_quality
from fer_model.types import EMOTIONS, FaceObservation, Frame

BATCH_FRAMES = 16
BATCH_BYTES = 96 * 2**20
"""A batch ends at whichever comes first, so that large photographs do not fill the memory."""

Follow = Callable[[Detections], NDArray[np.int64]]


def analyse(
    frames: Iterable[Frame],
    engine: Engine,
    models: Models,
    threshold: float,
    follow: Follow | None = None,
    *,
    keep_members: bool = False,
    on_batch: Callable[[int], None] = lambda frames: None,
) -> Generator[tuple[Frame, list[FaceObservation]]]:
    """The faces of each frame, in the order of the frames.

    `threshold` is the lowest detection score that counts, 0..1; `follow` gives track ids
    (`face_tracker`), without it faces have none; `keep_members` fills `FaceObservation.members`;
    `on_batch` is told how many frames each batch had. At most three batches are held in memory.
    An exception in `frames` comes out here, after the frames before it. At the end, and when this
    is closed earlier, `frames` is closed if it is a generator.
    """
    with closing(_detected(_batches(frames), engine, threshold)) as batches:
        for batch, found in batches:
            on_batch(len(batch))
            crops = [
                crop_face(frame.image, box, models.margin)
                for frame, boxes in zip(batch, found, strict=True)
                for box in boxes
            ]
            outputs = _classify(crops, engine, models)
            probabilities = combine(outputs, models.shares, models.temperature)
            start = 0
            for frame, boxes in zip(batch, found, strict=True):
                end = start + len(boxes)
                tracks = follow(boxes) if follow else None
                members = outputs[:, start:end] if keep_members else None
                yield frame, _observations(boxes, crops[start:end], probabilities[start:end], members, tracks)
                start = end


def _detected(
    batches: Generator[list[Frame]], engine: Engine, threshold: float
) -> Generator[tuple[list[Frame], list[Detections]]]:
    """Each batch with its faces. While the caller works on one, the next is detected and the one after it read.

    Reading and detecting have a thread each, and release the interpreter for most of their time.
    """
    reader, detector = _thread("decode"), _thread("detect")

    def read() -> Future[list[Frame] | None]:
        return reader.submit(next, batches, None)

    def detect(reading: Future[list[Frame] | None]) -> tuple[list[Frame], list[Detections]] | None:
        # An error of the source comes out in the place of the batch that it ended.
        batch = reading.result()
        return None if batch is None else (batch, _detect(batch, engine, threshold))

    try:
        reading = read()
        detecting = detector.submit(detect, reading)
        reading = read()
        while (done := detecting.result()) is not None:
            detecting = detector.submit(detect, reading)
            reading = read()
            yield done
    finally:
        for thread in (reader, detector):
            thread.shutdown(cancel_futures=True)
        batches.close()


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, initializer=lambda: setattr(threading.current_thread(), "name", name))


def _detect(batch: list[Frame], engine: Engine, threshold: float) -> list[Detections]:
    boxed = [letterbox(frame.image) for frame in batch]
    found = []
    for frame, (picture, scale), raw in zip(batch, boxed, engine.detect([p for p, _ in boxed]), strict=True):
        boxes = decode_boxes(*raw, picture.shape[:2], threshold)
        found.append(to_picture(boxes, scale, frame.image.shape[1], frame.image.shape[0]))
    return found


def _classify(crops: list[NDArray[np.uint8]], engine: Engine, models: Models) -> NDArray[np.float32]:
    if not crops:
        return np.zeros((len(models.members), 0, len(EMOTIONS)), np.float32)
    return engine.classify(np.stack(crops))


def _observations(
    boxes: Detections,
    crops: list[NDArray[np.uint8]],
    probabilities: NDArray[np.float64],
    members: NDArray[np.float32] | None,
    tracks: NDArray[np.int64] | None,
) -> list[FaceObservation]:
    return [
        FaceObservation(
            box=tuple(box[:4].tolist()),
            detection_score=float(box[4]),
            probabilities=tuple(probabilities[i].tolist()),
            quality=face_quality(crops[i], box, float(box[4])),
            track_id=None if tracks is None or tracks[i] < 0 else int(tracks[i]),
            members=() if members is None else tuple(map(tuple, members[:, i].tolist())),
        )
        for i, box in enumerate(boxes)
    ]


def _batches(frames: Iterable[Frame]) -> Generator[list[Frame]]:
    batch: list[Frame] = []
    size = 0
    try:
        for frame in frames:
            batch.append(frame)
            size += frame.image.nbytes
            if len(batch) >= BATCH_FRAMES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except Exception:
        # What was read before the failure is not lost: it is worked on first.
        if batch:
            yield batch
        raise
    finally:
        if isinstance(frames, Generator):
            frames.close()
    if batch:
        yield batch
