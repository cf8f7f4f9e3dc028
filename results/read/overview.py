"""One video, or a part of it, over time in at most a given number of steps: what a chart of it needs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Double, Select, case, cast, func, select
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS, means
from results.read.faces import nice_step_ms
from results.read.timelines import bucket_start
from results.tables import Face, Frame

STEPS = 1200
"""Steps of a chart, one for each pixel or two."""

LOW_QUALITY = 0.5
"""Faces below this quality are of low quality, as in the view `media_quality`."""


BRIDGED = 1
"""So many steps in a row may lack a frame without being a gap: frames do not come at regular times."""


class Seen(NamedTuple):
    """The faces of one track, or of all, in one step: how many, their seven means, and means of the other two."""

    faces: int
    scores: tuple[float, ...]
    confidence: float
    quality: float | None

    @property
    def emotion(self) -> str:
        """The dominant one; of equal ones the first."""
        return max(zip(self.scores, EMOTIONS, strict=True), key=lambda pair: pair[0])[1]

    @property
    def is_low(self) -> bool:
        """Whether the faces' quality is low."""
        return self.quality is not None and self.quality < LOW_QUALITY


class Run(NamedTuple):
    """Consecutive steps in which a track shows one emotion; `low` if the faces' quality is."""

    first: int
    steps: int
    emotion: str
    low: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The part [since_ms, until_ms) of a video in steps of `step_ms`; a step that is missing had nothing.

    `frames` are the processed frames by step, `present` those with a face as a share of them; `seen` are the means
    over all faces by step, `tracks` those of each track.
    """

    since_ms: int
    until_ms: int
    step_ms: int
    frames: dict[int, int]
    present: dict[int, float]
    seen: dict[int, Seen]
    tracks: dict[int, dict[int, Seen]]

    @property
    def steps(self) -> int:
        """How many steps there are, those without anything included."""
        return -(-(self.until_ms - self.since_ms) // self.step_ms)

    def start_ms(self, step: int) -> int:
        """When a step begins."""
        return self.since_ms + step * self.step_ms


def overview(session: Session, media_id: int, since_ms: int, until_ms: int, steps: int = STEPS) -> Overview:
    """Reads one medium with three statements that aggregate.

    A step is no shorter than the pause between two processed frames. `since_ms` is rounded down to a whole step.
    """
    step = nice_step_ms(session, media_id, max(1, until_ms - since_ms), steps)
    since_ms -= since_ms % step
    part = (media_id, since_ms, until_ms, step)
    looked = {row.start_ms: (row.frames, row.present) for row in session.execute(_looked(*part))}
    tracks: dict[int | None, dict[int, Seen]] = defaultdict(dict)
    for track_id, start_ms, faces, confidence, quality, *scores in session.execute(_seen(*part)):
        tracks[track_id][(start_ms - since_ms) // step] = Seen(faces, tuple(scores), confidence, quality)
    return Overview(
        since_ms,
        until_ms,
        step,
        {(start_ms - since_ms) // step: frames for start_ms, (frames, _) in looked.items()},
        {(start_ms - since_ms) // step: present for start_ms, (_, present) in looked.items()},
        _joined(tracks.values()),
        {track: tracks[track] for track in sorted(track for track in tracks if track is not None)},
    )


def _looked(media_id: int, since_ms: int, until_ms: int, step: int) -> Select[Any]:
    start = bucket_start(Frame.time_ms, step)
    present = cast(func.avg(case((Frame.faces > 0, 1), else_=0)), Double).label("present")
    within = (Frame.media_id == media_id, Frame.time_ms >= since_ms, Frame.time_ms < until_ms)
    return select(start, func.count().label("frames"), present).where(*within).group_by(start)


def _seen(media_id: int, since_ms: int, until_ms: int, step: int) -> Select[Any]:
    start = bucket_start(Face.time_ms, step)
    within = (Face.media_id == media_id, Face.time_ms >= since_ms, Face.time_ms < until_ms)
    values = (func.count(), func.avg(Face.confidence), func.avg(Face.quality), *means(Face.__table__.c))
    return select(Face.track_id, start, *values).where(*within).group_by(Face.track_id, start)


def _joined(parts: Iterable[dict[int, Seen]]) -> dict[int, Seen]:
    """The means over the faces of several tracks, by step."""
    found: dict[int, list[Seen]] = defaultdict(list)
    for part in parts:
        for step, seen in part.items():
            found[step].append(seen)
    return {step: mean(found[step]) for step in sorted(found)}


def mean(parts: Sequence[Seen]) -> Seen:
    """The means over all faces of several parts, of which there is one at least."""
    if len(parts) == 1:
        return parts[0]
    faces = sum(part.faces for part in parts)
    scores = (sum(part.faces * part.scores[n] for part in parts) / faces for n in range(len(EMOTIONS)))
    confidence = sum(part.faces * part.confidence for part in parts) / faces
    known = [(part.faces, part.quality) for part in parts if part.quality is not None]
    quality = sum(n * each for n, each in known) / sum(n for n, _ in known) if known else None
    return Seen(faces, tuple(scores), confidence, quality)


def smoothed(track: dict[int, Seen], half: int) -> dict[int, Seen]:
    """Each step's means over the steps of the track that are at most `half` before or after it."""
    if half < 1:
        return track
    around = ([track[other] for other in range(step - half, step + half + 1) if other in track] for step in track)
    return {step: mean(parts) for step, parts in zip(track, around, strict=True)}


def runs(track: dict[int, Seen]) -> list[Run]:
    """The track as runs, in the order of time."""
    found: list[Run] = []
    for step in sorted(track):
        seen = track[step]
        run = Run(step, 1, seen.emotion, seen.is_low)
        last = found[-1] if found else run
        if last is not run and step - last.first - last.steps <= BRIDGED:
            same = last[2:] == run[2:]
            found[-1] = last._replace(steps=step - last.first + same)
            found += [] if same else [run]
        else:
            found.append(run)
    return found


def longest(tracks: dict[int, dict[int, Seen]], most: int) -> list[int]:
    """The tracks with most steps, in the order in which they begin."""
    chosen = sorted(tracks, key=lambda track: -len(tracks[track]))[:most]
    return sorted(chosen, key=lambda track: (min(tracks[track]), track))
