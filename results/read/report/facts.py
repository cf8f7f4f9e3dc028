"""The data of a report, read from the database."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import column, func, select, table
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS, dominant, means, projected
from results.read.face_filter import FaceFilter
from results.read.faces import nice_step_ms
from results.read.parts import Part, hours_within
from results.read.timelines import timeline
from results.stream_tables import StreamEvent
from results.tables import Face, Media

DETAILED = 500
"""The first so many videos of a job get a section; the others are in the table only."""

LISTED = 2000
"""Most media in the table."""

EVENTS = 200
"""Most events of a stream."""

MANY = 100
"""With more videos than this each gets less detail, so that the page stays small."""

BUCKETS, LANES = (160, 80), (12, 5)
"""Most steps in a video's timeline, and most tracks; the second value for more than `MANY` videos."""

SMOOTH_BUCKETS = 2
"""Lanes are smoothed over so many steps: shorter changes would not be visible."""

NEGATIVE = ("angry", "disgust", "fear", "sad")

QUALITY = (
    "job_id", "media_id", "frames", "faces", "face_share", "quality", "low_quality_share", "confidence", "unsure_share",
    "face_pixels",
)  # fmt: skip
"""Columns of the view `media_quality`."""


@dataclass(frozen=True, slots=True)
class Medium:
    """One row of the table. `shares` are the mean probabilities over its faces; `quality` the view's row, if any.

    `began` is the beginning of a stream's hour, in the time zone of the report.
    """

    id: int
    position: int
    uri: str
    kind: str
    began: datetime | None
    duration_ms: int | None
    state: str
    error: str | None
    quality: dict[str, Any] | None
    shares: dict[str, float] | None
    emotion: str | None

    @property
    def name(self) -> str:
        """The hour, or the last part of the path or URL."""
        return short_name(self.uri) if self.began is None else f"{self.began:%Y-%m-%d %H:%M}"

    @property
    def negative(self) -> float | None:
        """The mean probability of angry, disgust, fear and sad together, 0..1."""
        return sum(self.shares[name] for name in NEGATIVE) if self.shares else None

    @property
    def affect(self) -> tuple[float, float] | None:
        """Mean valence and arousal, -1..1: a projection of the shares."""
        return projected([self.shares[name] for name in EMOTIONS]) if self.shares else None


@dataclass(frozen=True, slots=True)
class Lane:
    """One track of a video: runs (first step, steps, emotion)."""

    track_id: int
    runs: list[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class Series:
    """A video over time, in `steps` of `step_ms`; `rows` maps a step to its row of the timeline."""

    step_ms: int
    steps: int
    rows: dict[int, dict[str, Any]]
    lanes: list[Lane]
    tracks: int


def media_of_report(session: Session, part: Part, zone: tzinfo) -> list[Medium]:
    """The first `LISTED` media of a job, or the last `LISTED` hours of a stream, in their order."""
    qualities, shares = _qualities(session, part.job_id), _shares(session, part)
    order = Media.position.desc() if part.absolute else Media.position
    found = session.scalars(select(Media).where(*hours_within(part)).order_by(order).limit(LISTED))
    return [
        Medium(
            each.id,
            each.position,
            each.uri,
            each.kind,
            each.started_at and each.started_at.astimezone(zone),
            each.duration_ms,
            each.state,
            each.error,
            qualities.get(each.id),
            *shares.get(each.id, (None, None)),
        )
        for each in sorted(found, key=lambda each: each.position)
    ]


def series_of(session: Session, job_id: str, medium: Medium, many: bool) -> Series | None:
    """A video over time; None if none of its frames was processed."""
    buckets, lanes = BUCKETS[many], LANES[many]
    last_ms = max(medium.duration_ms or 0, 1)
    step_ms = nice_step_ms(session, medium.id, last_ms, buckets)
    part: dict[str, Any] = {"bucket_ms": step_ms, "media_id": medium.id}
    rows = {row["start_ms"] // step_ms: row for row in timeline(session, job_id, with_affect=True, **part)}
    if not rows:
        return None
    smooth = FaceFilter(smooth_s=min(60.0, SMOOTH_BUCKETS * step_ms / 1000))
    tracks = _tracks(timeline(session, job_id, by="track", face_filter=smooth, **part), step_ms)
    longest = sorted(tracks, key=lambda lane: -sum(steps for _, steps, _ in lane.runs))[:lanes]
    return Series(step_ms, max(*rows, -(-last_ms // step_ms) - 1) + 1, rows, sorted(longest, key=_begins), len(tracks))


def _begins(lane: Lane) -> tuple[int, int]:
    return lane.runs[0][0], lane.track_id


def _tracks(rows: Iterator[dict[str, Any]], step_ms: int) -> list[Lane]:
    """The lanes of rows sorted by track and time; consecutive steps with the same emotion are one run."""
    lanes: list[Lane] = []
    for row in rows:
        step, emotion = row["start_ms"] // step_ms, row["emotion"]
        if not lanes or lanes[-1].track_id != row["track_id"]:
            lanes.append(Lane(row["track_id"], []))
        runs = lanes[-1].runs
        if runs and runs[-1][2] == emotion and runs[-1][0] + runs[-1][1] == step:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, emotion)
        else:
            runs.append((step, 1, emotion))
    return lanes


def _qualities(session: Session, job_id: str) -> dict[int, dict[str, Any]]:
    view = table("media_quality", *(column(name) for name in QUALITY))
    found = session.execute(select(*view.c).where(view.c.job_id == job_id)).mappings()
    return {row["media_id"]: dict(row) for row in found}


def _shares(session: Session, part: Part) -> dict[int, tuple[dict[str, float], str]]:
    """By medium: the mean probabilities over its faces, and the dominant emotion."""
    seen = (
        select(Face.media_id, *means(Face.__table__.c))
        .join(Media, Media.id == Face.media_id)
        .where(*hours_within(part))
        .group_by(Face.media_id)
        .subquery()
    )
    rows = session.execute(select(seen, dominant([seen.c[name] for name in EMOTIONS]).label("emotion"))).mappings()
    return {row["media_id"]: ({name: row[name] for name in EMOTIONS}, row["emotion"]) for row in rows}


def whole_job(session: Session, part: Part) -> tuple[dict[str, float], int] | None:
    """The mean probabilities over all faces of a job's media, and the number of faces; None if there are none."""
    wanted = select(func.count().label("faces"), *means(Face.__table__.c)).join(Media, Media.id == Face.media_id)
    row = session.execute(wanted.where(*hours_within(part))).mappings().one()
    return ({name: row[name] for name in EMOTIONS}, row["faces"]) if row["faces"] else None


def events_of_report(session: Session, part: Part) -> Sequence[StreamEvent]:
    """The last `EVENTS` events of a stream's hours, in their order."""
    wanted = select(StreamEvent).join(Media, Media.id == StreamEvent.media_id).where(*hours_within(part))
    newest = session.scalars(wanted.order_by(StreamEvent.at.desc(), StreamEvent.id.desc()).limit(EVENTS)).all()
    return newest[::-1]


def short_name(uri: str) -> str:
    """The last part of a path or URL."""
    return uri.split("?")[0].rstrip("/").rsplit("/", 1)[-1] or uri


def count_media(media: Sequence[Medium], kind: str) -> int:
    """How many of the media are of this kind."""
    return sum(medium.kind == kind for medium in media)
