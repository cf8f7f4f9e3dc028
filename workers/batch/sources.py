"""The frames of a shard: photographs, several decoded at a time, or a segment of a video."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from fer_model.errors import UnreadableMediaError
from fer_model.sources import open_source
from fer_model.sources.identity import Identity
from fer_model.types import Frame
from results.leases import Claim
from results.tables import Media
from workers.batch.missing import noticed
from workers.batch.planning import BatchOptions
from workers.batch.rows import Row
from workers.errors import MissingMediaError
from workers.lease.policy import reason_of

MAX_THREADS = 4
"""Photographs decoded at once; each may be of any size."""


def photographs(
    media: Sequence[Media], roots: Sequence[str], updates: list[Row], missing: list[int]
) -> Iterator[tuple[int, Frame]]:
    """The id and the picture of each medium that can be read.

    For every medium an update of its row is appended to `updates`: its size, or why it cannot be read. The position of
    a file that is missing is appended to `missing` instead.

    Raises:
        MissingMediaError: all files are missing; of one that is missing with its folder, if there is one.
    """
    without_folder: MissingMediaError | None = None
    for medium, read in read_ahead(media, roots):
        try:
            with noticed(medium.uri, roots):
                frame = read()
        except MissingMediaError as error:
            missing.append(medium.position)
            if error.with_folder:
                without_folder = without_folder or error
            # Some of the folders may be there: pictures of many share a shard.
            if len(missing) == len(media):
                raise without_folder or error from error.__cause__
            continue
        except (UnreadableMediaError, MemoryError) as error:
            updates.append({"id": medium.id, "state": "failed", "error": reason_of(error)})
            continue
        width, height = frame.size
        updates.append({"id": medium.id, "state": "done", "width": width, "height": height})
        yield medium.id, frame


def read_ahead(media: Sequence[Media], roots: Sequence[str]) -> Iterator[tuple[Media, Callable[[], Frame]]]:
    """Each medium, in order, with a function that returns its picture or raises the error of reading it.

    Look-ahead: decodes one picture per processor at once, at most `MAX_THREADS`, because decoding a large photograph
    takes longer than detecting its faces.
    """
    # At least two, since one may be waiting for a server.
    threads = min(MAX_THREADS, max(2, len(os.sched_getaffinity(0))))
    reading: deque[tuple[Media, Future[Frame]]] = deque()
    pool = ThreadPoolExecutor(threads, "picture")
    try:
        for medium in media:
            if len(reading) == threads:
                first, picture = reading.popleft()
                yield first, picture.result
            reading.append((medium, pool.submit(_read, medium, roots)))
        while reading:
            first, picture = reading.popleft()
            yield first, picture.result
    finally:
        pool.shutdown(cancel_futures=True)


def _read(medium: Media, roots: Sequence[str]) -> Frame:
    return next(open_source(medium.address, kind="image", roots=roots, expected=submitted(medium)))


def submitted(medium: Media) -> Identity:
    """The file as it was when the job was planned."""
    return Identity(medium.size, medium.modified, medium.etag)


def video_frames(
    claim: Claim,
    medium: Media,
    options: BatchOptions,
    roots: Sequence[str],
    check: Callable[[], None],
    end_ms: int | None = None,
) -> Iterator[Frame]:
    """The sampled frames of a video from the claim's start to `end_ms`, or to the video's end."""
    return open_source(
        medium.address,
        kind="video",
        start_ms=claim.start_ms or 0,
        end_ms=end_ms,
        start_frame=claim.start_frame,
        ordered=medium.ordered is not False,
        sampling=options.sampling,
        roots=roots,
        expected=submitted(medium),
        # Minutes of video may lie between two sampled frames.
        on_packet=check,
    )
