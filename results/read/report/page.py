"""The page: renders facts and charts with the template, section by section."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import IO

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS
from results.jobs import get_job, utc_now
from results.printable import shown
from results.read.parts import ALWAYS, Part, Period, hours_within, part_of
from results.read.report import charts
from results.read.report.facts import (
    DETAILED,
    MANY,
    Medium,
    Series,
    count_media,
    events_of_report,
    media_of_report,
    series_of,
    short_name,
    whole_job,
)
from results.read.status import JobStatus, job_status
from results.read.times import clock

HERE = Path(__file__).parent


def write_report(
    session: Session,
    job_id: str,
    file: IO[str],
    *,
    palette: Mapping[str, str],
    notes: Sequence[str] = (),
    limits: Mapping[str, str] | None = None,
    period: Period = ALWAYS,
    zone: tzinfo = UTC,
) -> None:
    """Writes the report of a job as one HTML page.

    `palette` maps each of the seven emotions to a CSS colour. `notes` stand at the page's beginning; `limits` are the
    models' known limits by name of the model. Of a stream the hours that `period` touches are reported, with times in
    `zone`. The page loads nothing, and its size is bounded: see `facts.DETAILED` and `facts.LISTED`.

    Raises:
        OSError: the page cannot be written.
        TimelineError: a period of a job that is no stream.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Names are strangers' text. Charts are markup already.
    environment.finalize = lambda value: shown(value) if type(value) is str else value
    environment.filters |= {"percent": percent, "clock": clock, "name": short_name}
    part = part_of(session, job_id, None, period)
    media = media_of_report(session, part, zone)
    total = session.scalars(select(func.count()).where(*hours_within(part))).one()
    status = job_status(session, job_id)
    page = environment.get_template("page.html.j2").stream(
        job=get_job(session, job_id),
        status=status,
        counts=_counts(status, media, part),
        things="hours" if part.absolute else "files",
        events=[(event.at.astimezone(zone), event) for event in events_of_report(session, part)],
        zone=str(zone),
        whole=whole_job(session, part),
        media=media,
        unlisted=total - len(media),
        sections=_sections(session, job_id, media),
        videos=count_media(media, "stream" if part.absolute else "video"),
        detailed=DETAILED,
        emotions=EMOTIONS,
        palette=palette,
        charts=charts,
        notes=notes,
        limits=limits or {},
        made_at=utc_now(session),
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
    )
    page.enable_buffering(100)
    for piece in page:
        file.write(piece)


def _counts(status: JobStatus, media: Sequence[Medium], part: Part) -> dict[str, int]:
    """Frames and faces of the job, or of the listed hours of a stream."""
    if not part.absolute:
        return {"frames": status.frames, "faces": status.faces}
    rows = [medium.quality for medium in media if medium.quality]
    return {name: sum(row[name] for row in rows) for name in ("frames", "faces")}


def _sections(session: Session, job_id: str, media: Sequence[Medium]) -> Iterator[tuple[Medium, Series]]:
    """The videos with results; read lazily, one at a time."""
    videos = [medium for medium in media if medium.kind != "image" and medium.quality]
    for medium in videos[:DETAILED]:
        series = series_of(session, job_id, medium, many=len(videos) > MANY)
        if series is not None:
            yield medium, series


def percent(value: float | None) -> str:
    """0.123 as 12 %; None as a dash."""
    return "–" if value is None else f"{100 * value:.0f} %"
