"""The pipeline's first two stages, each in a thread of its own: reading batches of frames, and finding their faces."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice

from fer_model.analysis.interpolation import interpolate, match_faces
from fer_model.engines import Engine
from fer_model.engines.detection import Detections
from fer_model.sources.sampling import Sampling, chooser
from fer_model.types import Frame, Image

BATCH_FRAMES = 16
BATCH_BYTES = 16 * 2**20
"""A batch ends at whichever comes first, so that large photographs do not fill the memory; engines look at no more
pictures ahead than fit into some batches."""

Batch = list[tuple[Frame, bool]]
"""Frames in order, and whether faces are looked for in each; in the last one they are."""


def batched(frames: Iterable[Frame], detect_on: Sampling) -> Generator[Batch]:
    """Batches of at most `BATCH_FRAMES` detected frames: the first, those that `detect_on` keeps, and the last.

    At the end, and when this is closed earlier, `frames` is closed if it is a generator.
    """
    batch: Batch = []
    count = size = 0
    is_key, first = chooser(detect_on), True
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

    While the caller works on one batch, the next is in the detector, which has begun with the one after it, and one
    more is read. Both threads release the interpreter for most of their time. What `batches` or `engine` raise comes
    out here, after the batches before it.
    """
    reader, detector = _thread("decode"), _thread("detect")
    stopping = threading.Event()
    found = _found(_ahead(batches, reader), engine, threshold, stopping)
    try:
        detecting = detector.submit(next, found, None)
        while (done := detecting.result()) is not None:
            detecting = detector.submit(next, found, None)
            yield done
    finally:
        stopping.set()
        detector.shutdown(cancel_futures=True)
        found.close()
        reader.shutdown(cancel_futures=True)
        batches.close()


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, initializer=lambda: setattr(threading.current_thread(), "name", name))


def _ahead(batches: Generator[Batch], reader: ThreadPoolExecutor) -> Generator[Batch]:
    """The batches, each read while the one before it is worked on."""
    reading: Future[Batch | None] = reader.submit(next, batches, None)
    while (batch := reading.result()) is not None:
        reading = reader.submit(next, batches, None)
        yield batch


def _found(
    batches: Iterable[Batch], engine: Engine, threshold: float, stopping: threading.Event
) -> Generator[tuple[list[Frame], list[Detections], int]]:
    """Batch for batch with its faces; the detector sees one stream of pictures and never runs empty between two.

    The stream ends early where nobody waits for it any more.
    """
    taken: deque[Batch] = deque()
    failures: list[Exception] = []

    def pictures() -> Iterator[Image]:
        try:
            for batch in batches:
                taken.append(batch)
                for frame, looked_at in batch:
                    if stopping.is_set():
                        return
                    if looked_at:
                        yield frame.image
        except Exception as error:
            # An error of the source comes out after the frames before it.
            failures.append(error)

    fill = _filler()
    with closing(engine.detect(pictures(), threshold)) as faces:
        for first in faces:
            batch = taken.popleft()
            looked_at = sum(looked_at for _, looked_at in batch)
            seen = [first, *islice(faces, looked_at - 1)]
            if stopping.is_set():
                return
            yield [frame for frame, _ in batch], fill(batch, seen), looked_at
    if failures:
        raise failures.pop()  # kept here it would keep the pictures


def _filler() -> Callable[[Batch, list[Detections]], list[Detections]]:
    """A function that gives every frame of a batch faces, from those of the frames that were looked at."""
    before: tuple[int, Detections] | None = None

    def fill(batch: Batch, seen: list[Detections]) -> list[Detections]:
        nonlocal before
        found: list[Detections] = []
        here = iter(seen)
        waiting: list[int] = []
        for frame, looked_at in batch:
            if not looked_at:
                waiting.append(frame.time_ms)
                continue
            faces = next(here)
            if before is not None and waiting:
                began, pairs = before[0], match_faces(before[1], faces)
                whole = max(1, frame.time_ms - began)
                found += [interpolate(pairs, (time_ms - began) / whole) for time_ms in waiting]
                waiting = []
            found.append(faces)
            before = frame.time_ms, faces
        return found

    return fill
