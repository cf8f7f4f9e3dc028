"""Cuts a video into segments for several workers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fer_model.sources.index import VideoIndex
from fer_model.sources.sampling import Sampling, chooser, nearest, select, unaided

UNSEEKABLE = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a video: [start_ms, end_ms), or up to the end where `end_ms` is None.

    `start_frame` is the index of its first frame in the whole video, `frames` the number of sampled frames.
    """

    start_ms: int
    end_ms: int | None
    start_frame: int
    frames: int


def sampled(index: VideoIndex, sampling: Sampling) -> Iterator[tuple[int, int]]:
    """Index and time in ms of each frame that `sampling` keeps."""
    times: list[int] = index.times_ms.tolist()
    if sampling.fps is None or not sampling.nearest or index.ranks is None:
        return select(unaided(sampling), enumerate(times))
    chosen = list(nearest(sampling.fps, zip(times, index.ranks.tolist(), strict=True)))
    return zip(np.searchsorted(index.times_ms, chosen).tolist(), chosen, strict=True)


def cut(index: VideoIndex, sampling: Sampling, shard_ms: int, begins: Sampling | None = None) -> list[Segment]:
    """Cut a video into pieces of about `shard_ms` milliseconds, each beginning at a sampled frame.

    With `begins`, a coarser sampling, each begins at a frame of that sampling.

    A last piece shorter than half of `shard_ms` joins the one before it. Each piece of a video that is not
    segmentable is decoded from the beginning, so its pieces are `UNSEEKABLE` times as long.

    Raises:
        ValueError: `shard_ms` is below 1.
    """
    if shard_ms < 1:
        raise ValueError(f"a shard must last at least 1 ms, not {shard_ms}")
    shard_ms *= 1 if index.segmentable else UNSEEKABLE
    times: list[int] = index.times_ms.tolist()
    starts: list[tuple[int, int]] = []  # (frame index, sampled frames before it)
    count, may_begin = 0, chooser(begins or sampling)
    beyond = 2 if index.ordered else 1  # a seek may find the later one of two
    for frame, time_ms in sampled(index, sampling):
        # Frames of one rounded millisecond cannot be separated by time.
        apart = times[max(0, frame - 1) : frame + beyond].count(time_ms) == 1
        here = may_begin(frame, time_ms) and apart
        if not starts or (here and time_ms - times[starts[-1][0]] >= shard_ms):
            starts.append((frame, count))
        count += 1
    if len(starts) > 1 and index.duration_ms - times[starts[-1][0]] < shard_ms / 2:
        starts.pop()
    ends = [*starts[1:], (None, count)]
    return [
        Segment(times[start], None if end is None else times[end], start, after - before)
        for (start, before), (end, after) in zip(starts, ends, strict=True)
    ]
