"""The command `export`: what was found, as files for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from cli.files import written
from cli.naming import file_name
from cli.options import choice_from, choice_options, connection_options

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from results.models import Media
    from results.selecting import Choice

TABLES = ("csv", "jsonl", "parquet", "xlsx")
SUBTITLES = ("srt", "vtt")
STREAMS = ("csv", "jsonl", *SUBTITLES)
"""What may go to stdout."""


@click.command()
@click.argument("job", required=False)
@click.option("--format", "style", type=click.Choice([*TABLES, *SUBTITLES]), required=True, help="Kind of file.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File, or with --each folder.  [default: stdout]")
@click.option("--each", is_flag=True, help="One file for each photograph or video.")
@choice_options
@connection_options(broker=False)
def export(job: str | None, style: str, output: Path | None, each: bool, **options: Any) -> None:
    """Write what was found to a file: every face, or subtitles. The newest job, if none is named.

    Subtitles are smoothed over a second unless --smooth says otherwise.
    """
    from cli.database import asked_about
    from results.subtitles import SMOOTH_S

    if output is None and (each or style not in STREAMS):
        raise click.UsageError(f"{'--each' if each else style} needs -o.")
    choice = choice_from(**options, default=SMOOTH_S if style in SUBTITLES else 0.0)
    with asked_about(job) as (session, job_id):
        if each:
            assert output is not None
            _write_each(session, job_id, style, output, choice)
        elif style in SUBTITLES:
            with written(output) as target:
                _write_subtitles(session, _only_video(session, job_id), style, target, choice)
        else:
            _write_table(session, job_id, style, output, choice)


def _write_table(session: "Session", job_id: str, style: str, output: Path | None, choice: "Choice") -> None:
    from cli.progress import progress
    from results.exports import count_faces, export_faces

    faces = count_faces(session, job_id, choice)
    with written(output) as target, progress("faces", faces) as on_rows:
        export_faces(session, job_id, style, target, choice=choice, on_rows=on_rows)
    if output is not None:
        click.echo(f"{output}: {faces:,} faces", err=True)


def _write_each(session: "Session", job_id: str, style: str, folder: Path, choice: "Choice") -> None:
    from cli.progress import progress
    from results.exports import export_faces

    media = [medium for medium in _media(session, job_id) if style in TABLES or medium.kind == "video"]
    folder.mkdir(parents=True, exist_ok=True)
    with progress("files", len(media)) as on_file:
        for medium in media:
            with written(folder / f"{file_name(medium)}.{style}") as target:
                if style in TABLES:
                    export_faces(session, job_id, style, target, choice=choice, media_id=medium.id)
                else:
                    _write_subtitles(session, medium, style, target, choice)
            on_file(1)
    click.echo(f"{folder}: {len(media):,} files", err=True)


def _write_subtitles(session: "Session", medium: "Media", style: str, target: BinaryIO, choice: "Choice") -> None:
    from results.subtitles import subtitles

    for piece in subtitles(session, medium.job_id, medium.id, style, choice):
        target.write(piece.encode())


def _media(session: "Session", job_id: str) -> "list[Media]":
    """Those of a job's media that something can have been found in."""
    from sqlalchemy import select

    from results.models import Media

    readable = select(Media).where(Media.job_id == job_id, Media.state != "failed")
    return list(session.scalars(readable.order_by(Media.position)))


def _only_video(session: "Session", job_id: str) -> "Media":
    videos = [medium for medium in _media(session, job_id) if medium.kind == "video"]
    if len(videos) != 1:
        raise click.UsageError(
            f"The job has {len(videos)} videos; with --each there is a file of subtitles for each of them."
            if videos
            else "The job has no video, and only videos have subtitles."
        )
    return videos[0]
