"""The command `export`: results as files for other programs."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from zoneinfo import ZoneInfo

import click

from cli.options import Output, filter_from, filter_options, settings_options
from cli.output_files import written
from cli.period import period_from, period_options
from cli.views.lines import say
from results.read.output_names import file_name

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from results.read.face_filter import FaceFilter
    from results.tables import Media
    from workers.settings import Settings

TABLES = ("csv", "jsonl", "parquet", "xlsx")
SUBTITLES = ("srt", "vtt")
ANNOTATIONS = ("eaf", "textgrid", "boris")
"""Formats of programs that annotate behaviour: ELAN, Praat, BORIS."""

SMOOTHED = (*SUBTITLES, *ANNOTATIONS)
STREAMS = ("csv", "jsonl", *SUBTITLES, "eaf", "textgrid")
"""Formats that may go to stdout."""

Terms = dict[str, Any]


@click.command()
@click.argument("job", required=False)
@click.option("--format", "style", type=click.Choice([*TABLES, *SMOOTHED]), required=True, help="Format of the file.")
@click.option("-o", "--output", type=Output(), help="File, or with --each folder.  [default: stdout]")
@click.option("--each", is_flag=True, help="One file for each photograph, video or hour of a stream.")
@filter_options
@period_options
@settings_options("database_url")
def export(
    settings: "Settings",
    job: str | None,
    style: str,
    output: Path | None,
    each: bool,
    last: int | None,
    until: datetime | None,
    zone: ZoneInfo | None,
    **options: Any,
) -> None:
    """Write every face, subtitles or annotations to a file.

    Annotations: tracks and markers for ELAN, Praat and BORIS.

    Of the newest job if none is named. All but faces are smoothed over a second unless --smooth is given. Of a stream,
    all but faces are written by whole hours.
    """
    from cli.connection import asked_about
    from results.jobs import get_job
    from results.read.parts import media_of_part, part_of
    from results.read.subtitles import SMOOTH_S

    if output is None and (each or style not in STREAMS):
        raise click.UsageError(f"{'--each' if each else style} needs -o.")
    if each and str(output) == "-":
        raise click.UsageError("--each needs a folder, and stdout is none.")
    face_filter = filter_from(**options, default=SMOOTH_S if style in SMOOTHED else 0.0)
    period = period_from(last, until, zone)
    terms: Terms = {"face_filter": face_filter, "zone": str(zone or "UTC")}
    with asked_about(settings, job) as (session, job_id):
        part = part_of(session, job_id, None, period)
        if style in TABLES and not each:
            _write_table(session, job_id, style, output, terms | {"period": period})
            return
        media = [one for one in media_of_part(session, part) if style in TABLES or one.kind != "image"]
        asked = get_job(session, job_id)
        if not media and asked.kind == "stream":
            raise click.UsageError("Nothing was recorded in that period.")
        if each:
            assert output is not None
            _write_each(session, media, style, output, terms, asked.name if asked.kind == "stream" else None)
        else:
            video = _only_one(media)
            with written(output) as target:
                _write_video(session, video, style, target, face_filter)


def _write_table(session: "Session", job_id: str, style: str, output: Path | None, terms: Terms) -> None:
    from cli.views.progress import progress
    from results.read.exports import count_faces, export_faces

    faces = count_faces(session, job_id, terms["face_filter"], terms["period"])
    with written(output) as target, progress("faces", faces) as on_rows:
        export_faces(session, job_id, style, target, on_rows=on_rows, **terms)
    if output is not None and str(output) != "-":
        say(f"{output}: {faces:,} face{'' if faces == 1 else 's'}", err=True)


def _write_each(
    session: "Session", media: "Sequence[Media]", style: str, folder: Path, terms: Terms, stream: str | None
) -> None:
    from cli.views.progress import progress
    from results.read.annotations.tiers import SUFFIXES
    from results.read.exports import export_faces

    folder.mkdir(parents=True, exist_ok=True)
    with progress("files", len(media)) as on_file:
        for medium in media:
            with written(folder / (file_name(medium, stream) + SUFFIXES.get(style, f".{style}"))) as target:
                if style in TABLES:
                    export_faces(session, medium.job_id, style, target, media_id=medium.id, **terms)
                else:
                    _write_video(session, medium, style, target, terms["face_filter"])
            on_file(1)
    say(f"{folder}: {len(media):,} file{'' if len(media) == 1 else 's'}", err=True)


def _write_video(session: "Session", medium: "Media", style: str, target: BinaryIO, face_filter: "FaceFilter") -> None:
    from results.read.annotations.writing import write_annotations
    from results.read.subtitles import subtitles

    if style in ANNOTATIONS:
        write_annotations(session, medium, style, target, face_filter)
        return
    for piece in subtitles(session, medium.job_id, medium.id, style, face_filter):
        target.write(piece.encode())


def _only_one(videos: "Sequence[Media]") -> "Media":
    if len(videos) != 1:
        parts = "hours" if videos and videos[0].kind == "stream" else "videos"
        raise click.UsageError(
            f"The job has {len(videos)} {parts}; with --each there is a file for each of them."
            if videos
            else "The job has no video, and this format is for videos."
        )
    return videos[0]
