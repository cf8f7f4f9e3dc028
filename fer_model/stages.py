"""The pipeline's first two stages, each in a thread of its own: reading batches of frames, and finding their faces."""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from fer_model.between import between, same_faces
from fer_model.detection import Detections, decode_boxes, letterbox, to_picture
from fer_model.engines import Engine
from fer_model.sources.sampling import Sampling, chooser
from fer_model.types import Frame

BATCH_FRAMES = 16
BATCH_BYTES = 48 * 2**20
"""A batch ends at whichever comes first, so that large photographs do not fill the memory."""

Batch = list[tuple[Frame, bool]]
"""Frames in order, and whether faces are looked for in each; in the last one they are."""


def batched(frames: Iterable[Frame], keys: Sampling) -> Generator[Batch]:
    """Batches of at most `BATCH_FRAMES` frames that are looked at: the first, those that `keys` keeps, and the last.

    At the end, and when this is closed earlier, `frames` is closed if it is a generator.
    """
    batch: Batch = []
    count = size = 0
    is_key, first = chooser(keys), True
    try:
        for frame in frames:
            looked_at = is_key(frame.index, frame.time_ms) or first
            first = False
            batch.append((frame, looked_at))
            count, size = count + looked_at, size + frame.image.nbytes
            if looked_at and (count >= BATCH_FRAMES or size >= BATCH_BYTES):
                yield batch
                batch, count, size = [], 0, 0
    except Exception:
        # What was read before the failure is not lost: it is worked on first.
        if batch:
            yield _ended(batch)
        raise
    finally:
        if isinstance(frames, Generator):
            frames.close()
    if batch:
        yield _ended(batch)


def _ended(batch: Batch) -> Batch:
    """Nothing comes after the last frame, from which what is before it could be told."""
    return [*batch[:-1], (batch[-1][0], True)]


def detected(
    batches: Generator[Batch], engine: Engine, threshold: float
) -> Generator[tuple[list[Frame], list[Detections], int]]:
    """Each batch with the faces of its frames, and in how many they were looked for.

    While the caller works on one batch, the next is in the detector and the one after it is read. Both threads
    release the interpreter for most of their time.
    """
    reader, detector = _thread("decode"), _thread("detect")
    find = _finder(engine, threshold)

    def read() -> Future[Batch | None]:
        return reader.submit(next, batches, None)

    def detect(reading: Future[Batch | None]) -> tuple[list[Frame], list[Detections], int] | None:
        # An error of the source comes out in the place of the batch that it ended.
        batch = reading.result()
        return None if batch is None else ([frame for frame, _ in batch], find(batch), sum(key for _, key in batch))

    try:
        detecting = detector.submit(detect, read())
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


def _finder(engine: Engine, threshold: float) -> Callable[[Batch], list[Detections]]:
    """A function that finds the faces of each frame of a batch, one batch after the other."""
    before: tuple[int, Detections] | None = None

    def find(batch: Batch) -> list[Detections]:
        nonlocal before
        found: list[Detections] = []
        here = iter(_detect([frame for frame, looked_at in batch if looked_at], engine, threshold))
        waiting: list[int] = []
        for frame, looked_at in batch:
            if not looked_at:
                waiting.append(frame.time_ms)
                continue
            faces = next(here)
            if before is not None and waiting:
                began, pairs = before[0], same_faces(before[1], faces)
                whole = max(1, frame.time_ms - began)
                found += [between(pairs, (time_ms - began) / whole) for time_ms in waiting]
                waiting = []
            found.append(faces)
            before = frame.time_ms, faces
        return found

    return find


def _detect(frames: list[Frame], engine: Engine, threshold: float) -> list[Detections]:
    boxed = [letterbox(frame.image) for frame in frames]
    found = []
    for frame, (picture, scale), raw in zip(frames, boxed, engine.detect([p for p, _ in boxed]), strict=True):
        boxes = decode_boxes(*raw, picture.shape[:2], threshold)
        found.append(to_picture(boxes, scale, frame.image.shape[1], frame.image.shape[0]))
    return found
