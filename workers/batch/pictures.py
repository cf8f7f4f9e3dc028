"""Reading a shard's photographs, several at a time."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from fer_model.sources import open_source
from fer_model.types import Frame
from results.tables import Media

MOST = 4
"""Photographs that are decoded at once; each may be of any size."""


def read_ahead(media: Sequence[Media], roots: Sequence[str]) -> Iterator[tuple[Media, Callable[[], Frame]]]:
    """Each medium, in order, with a function that gives its picture or raises what reading it raised.

    As many are decoded at once as there are processors, but at most `MOST`: a large photograph takes longer to
    decode than the detector takes to look at it.
    """
    threads = min(MOST, len(os.sched_getaffinity(0)))
    reading: deque[tuple[Media, Future[Frame]]] = deque()
    pool = ThreadPoolExecutor(threads, "picture")
    try:
        for medium in media:
            if len(reading) == threads:
                first, picture = reading.popleft()
                yield first, picture.result
            reading.append((medium, pool.submit(_read, medium.uri, roots)))
        while reading:
            first, picture = reading.popleft()
            yield first, picture.result
    finally:
        pool.shutdown(cancel_futures=True)


def _read(uri: str, roots: Sequence[str]) -> Frame:
    return next(open_source(uri, kind="image", roots=roots))
