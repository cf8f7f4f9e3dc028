"""The page: renders facts and charts with the template, section by section."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS
from results.jobs import get_job, utc_now
from results.printable import shown
from results.read.report import charts
from results.read.report.facts import (
    DETAILED,
    MANY,
    Medium,
    Series,
    count_media,
    media_of_report,
    series_of,
    whole_job,
)
from results.read.status import job_status
from results.read.times import clock
from results.tables import Media

HERE = Path(__file__).parent


def write_report(
    session: Session,
    job_id: str,
    file: IO[str],
    *,
    palette: Mapping[str, str],
    notes: Sequence[str] = (),
    limits: Mapping[str, str] | None = None,
) -> None:
    """Writes the report of a job as one HTML page.

    `palette` maps each of the seven emotions to a CSS colour. `notes` stand at the page's beginning; `limits` are the
    models' known limits by name of the model. The page loads nothing, and its size is bounded: see `facts.DETAILED`
    and `facts.LISTED`. Raises `OSError`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Names are strangers' text. Charts are markup already.
    environment.finalize = lambda value: shown(value) if type(value) is str else value
    environment.filters |= {"percent": percent, "clock": clock, "name": short_name}
    media = media_of_report(session, job_id)
    total = session.scalars(select(func.count()).where(Media.job_id == job_id)).one()
    page = environment.get_template("page.html.j2").stream(
        job=get_job(session, job_id),
        status=job_status(session, job_id),
        whole=whole_job(session, job_id),
        media=media,
        unlisted=total - len(media),
        sections=_sections(session, job_id, media),
        videos=count_media(media, "video"),
        detailed=DETAILED,
        emotions=EMOTIONS,
        palette=palette,
        charts=charts,
        notes=notes,
        limits=limits or {},
        made_at=utc_now(session),
        style=(HERE / "page.css").read_text(),
        script=(HERE / "page.js").read_text(),
    )
    page.enable_buffering(100)
    for piece in page:
        file.write(piece)


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


def short_name(uri: str) -> str:
    """The last part of a path or URL."""
    return uri.split("?")[0].rstrip("/").rsplit("/", 1)[-1] or uri
