"""Subtitles: each track's dominant emotion as it changes, for any player."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from results.read.face_filter import FaceFilter, filtered_faces
from results.read.parts import Part
from results.read.times import timestamp
from results.tables import Frame, Media

GAP_MS = 1000
"""Gaps in a track up to this long, in ms, keep its line on screen."""

SMOOTH_S = 1.0
"""Default smoothing in seconds: at 25 frames a second unsmoothed lines change too fast to be read."""


class Span(NamedTuple):
    """An interval [start_ms, end_ms) in which a track shows one emotion."""

    start_ms: int
    end_ms: int
    track_id: int
    emotion: str


class Cue(NamedTuple):
    """The lines shown in [start_ms, end_ms)."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def subtitles(session: Session, job_id: str, media_id: int, style: str, face_filter: FaceFilter) -> Iterator[str]:
    """The subtitles of one video, cue by cue, as `srt` (SubRip) or `vtt` (WebVTT)."""
    point = "," if style == "srt" else "."
    if style == "vtt":
        yield "WEBVTT\n\n"
    for number, cue in enumerate(cues(spans(session, job_id, media_id, face_filter)), 1):
        times = f"{timestamp(cue.start_ms, point)} --> {timestamp(cue.end_ms, point)}"
        yield "\n".join((str(number), times, *cue.lines)) + "\n\n"


def spans(session: Session, job_id: str, media_id: int, face_filter: FaceFilter) -> list[Span]:
    """The spans of each track of a video, by time; memory grows with the changes, and by some 24 bytes a frame.

    A span ends when the next frame was looked at, or at the usual distance of two frames after its last, if that is
    sooner; never after the video.
    """
    looked_at = select(Frame.time_ms).where(Frame.media_id == media_id).distinct().order_by(Frame.time_ms)
    times = array("q", session.scalars(looked_at, execution_options={"yield_per": 10_000}))
    # The median, for recordings with a variable frame rate may rest for hours.
    pauses = array("q", (after - before for before, after in pairwise(times)))
    step = round(np.median(np.frombuffer(pauses, np.int64))) if pauses else GAP_MS
    # An hour of a stream has no end but its last frame.
    length = select(Media.duration_ms).where(Media.id == media_id, Media.kind == "video")
    duration_ms = session.scalar(length)

    def end_after(last_ms: int) -> int:
        place = bisect_right(times, last_ms)
        ends = (last_ms + step, *times[place : place + 1], duration_ms or 0)
        return min(end for end in ends if end > last_ms)

    faces = filtered_faces(Part(job_id, media_id), face_filter).c
    followed = (
        select(faces.track_id, faces.time_ms, faces.emotion)
        .where(faces.track_id.is_not(None))
        .order_by(faces.time_ms, faces.track_id)
    )
    rows = session.execute(followed, execution_options={"yield_per": 10_000})
    found = _joined(((int(track), time, emotion) for track, time, emotion in rows), max(GAP_MS, 2 * step), end_after)
    # Two frames of a damaged file may have the same time.
    return sorted(span for span in found if span.end_ms > span.start_ms)


def cues(found: Iterable[Span]) -> Iterator[Cue]:
    """One cue between each two consecutive changes; none where no track is in view."""
    events = sorted(
        event
        for span in found
        for event in ((span.start_ms, 1, span.track_id, span.emotion), (span.end_ms, 0, span.track_id, span.emotion))
    )
    shown: dict[int, str] = {}
    since = 0
    for time_ms, begins, track_id, emotion in events:
        if time_ms > since and shown:
            yield Cue(since, time_ms, tuple(f"#{track} {shown[track]}" for track in sorted(shown)))
        since = time_ms
        if begins:
            shown[track_id] = emotion
        else:
            del shown[track_id]


def _joined(rows: Iterable[tuple[int, int, str]], gap_ms: int, end_after: Callable[[int], int]) -> Iterator[Span]:
    """Joins rows (track, time, emotion), sorted by time, to spans; a longer gap than `gap_ms` ends one."""
    open_spans: dict[int, tuple[Span, int]] = {}
    for track, time_ms, emotion in rows:
        span, last_ms = open_spans.get(track, (None, 0))
        if span is not None and (time_ms - last_ms > gap_ms or span.emotion != emotion):
            ends = time_ms if time_ms - last_ms <= gap_ms else end_after(last_ms)
            yield span._replace(end_ms=ends)
            span = None
        open_spans[track] = (span or Span(time_ms, time_ms, track, emotion), time_ms)
    for span, last_ms in open_spans.values():
        yield span._replace(end_ms=end_after(last_ms))
