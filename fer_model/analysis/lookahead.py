"""Look-ahead for finite sources: reading frames and detecting faces, each stage in its own thread."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import islice

from fer_model.analysis.ahead import Ahead
from fer_model.analysis.interpolation import Batch, interpolator
from fer_model.analysis.refining import Refine
from fer_model.engines import Engine, Finish
from fer_model.engines.detection import Detections
from fer_model.sources.sampling import Sampling, chooser
from fer_model.types import Frame, Image

BATCH_FRAMES = 16
BATCH_BYTES = 16 * 2**20
"""Limits of a batch, whichever comes first: bytes too, so that large photographs do not fill memory."""

GRACE_S = 1.0
"""Seconds that closing waits for a source that is reading a frame. A source that hangs is left to its thread, which
closes it when the read returns."""

Detected = tuple[list[Frame], list[Detections], int]
"""A batch's frames, the faces of each, and the number of detected frames."""


def batched(frames: Iterable[Frame], detect_on: Sampling) -> Generator[Batch]:
    """Batches of at most `BATCH_FRAMES` detected frames: the first, those that `detect_on` keeps, and the last.

    At the end, and when this is closed earlier, `frames` is closed if it is a generator.
    """
    batch: Batch = []
    count = size = 0
    keeps, first = chooser(detect_on), True
    try:
        for frame in frames:
            is_detected = keeps(frame.index, frame.time_ms) or first
            first = False
            batch.append((frame, is_detected))
            count, size = count + is_detected, size + frame.image.nbytes
            if is_detected and (count >= BATCH_FRAMES or size >= BATCH_BYTES):
                yield batch
                batch, count, size = [], 0, 0
    except Exception:
        # The frames read before the failure are processed first.
        if batch:
            yield _ended(batch)
        raise
    finally:
        if isinstance(frames, Generator):
            frames.close()
    if batch:
        yield _ended(batch)


def _ended(batch: Batch) -> Batch:
    """The last frame is detected: no later one could complete an interpolation."""
    return [*batch[:-1], (batch[-1][0], True)]


def detected(
    batches: Generator[Batch], engine: Engine, threshold: float, refine: Refine | None = None
) -> Generator[Detected]:
    """Each batch with the faces of its frames; `refine` adds detected frames to it.

    While the caller processes one batch, the detector runs on the next, has begun the one after it, and one more is
    read. Both threads release the GIL for most of their time. An exception of `batches` or `engine` is
    raised here, after the batches before it. Closing waits for the pictures that the engine has begun, and at most
    `GRACE_S` seconds for the source.
    """
    reader = Ahead(batches, "decode")
    detector = Ahead(_detected(reader, engine, threshold, refine), "detect")
    try:
        yield from detector
    finally:
        detector.stop()
        reader.stop()
        detector.join()
        reader.join(GRACE_S)


def _detected(reader: Ahead[Batch], engine: Engine, threshold: float, refine: Refine | None) -> Generator[Detected]:
    """Feeds the detector one stream of pictures across batches, so that it never idles between two of them."""
    taken: deque[Batch] = deque()
    failures: list[Exception] = []

    def pictures() -> Iterator[Image]:
        try:
            for batch in reader:
                taken.append(batch)
                for frame, is_detected in batch:
                    if reader.is_stopped:
                        return
                    if is_detected:
                        yield frame.image
        except Exception as error:
            # An error of the source is raised after the frames before it.
            failures.append(error)

    fill = interpolator()
    with closing(detect(pictures(), engine, threshold)) as faces:
        for first in faces:
            batch = taken.popleft()
            found = [first, *islice(faces, sum(is_detected for _, is_detected in batch) - 1)]
            if reader.is_stopped:
                return
            if refine:
                batch, found = refine(batch, found, lambda images: list(detect(images, engine, threshold)))
            yield [frame for frame, _ in batch], fill(batch, found), len(found)
    if failures:
        raise failures.pop()  # kept in the list it would keep the pictures


def detect(pictures: Iterable[Image], engine: Engine, threshold: float) -> Generator[Detections]:
    """The faces of each picture, in order, started far enough ahead that the device never idles."""
    working: deque[tuple[Finish, int]] = deque()
    source = iter(pictures)
    try:
        while batch := _next_batch(source, engine):
            working.append((engine.start(batch, threshold), sum(picture.nbytes for picture in batch)))
            while len(working) >= engine.in_flight or sum(size for _, size in working) >= engine.ahead_bytes:
                yield from working.popleft()[0]()
        while working:
            yield from working.popleft()[0]()
    finally:
        for finish, _ in working:
            with suppress(Exception):  # raised already, or no longer wanted
                finish()


def _next_batch(pictures: Iterator[Image], engine: Engine) -> list[Image]:
    """The pictures that the engine starts next; none at the end."""
    batch: list[Image] = []
    size = 0
    while len(batch) < engine.at_once and size < engine.ahead_bytes / engine.in_flight:
        if (picture := next(pictures, None)) is None:
            break
        batch.append(picture)
        size += picture.nbytes
    return batch
