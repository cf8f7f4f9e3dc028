"""The command `annotate`: media with the faces drawn into them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cli.options import Output, filter_from, filter_options, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@click.argument("job", required=False)
@click.option("-o", "--output", type=Output(is_folder=True), required=True, help="Folder for the new files.")
@click.option("--anonymise", type=click.Choice(["blur", "pixelate"]), help="Hide every detected face.")
@filter_options
@settings_options("database_url")
def annotate(
    settings: "Settings", job: str | None, output: Path, anonymise: Literal["blur", "pixelate"] | None, **options: Any
) -> None:
    """Draw boxes, tracks, emotions and bars into copies of the media. Of the newest job if none is named.

    Labels are smoothed over a second unless --smooth is given. Your files stay as they are.
    """
    from cli.connection import asked_about
    from cli.views.progress import progress
    from results.read.output_names import file_name
    from results.read.status import job_status
    from results.read.subtitles import SMOOTH_S
    from workers.batch.annotating import annotate_job

    face_filter = filter_from(**options, default=SMOOTH_S)
    output.mkdir(parents=True, exist_ok=True)
    failed = 0
    with asked_about(settings, job) as (session, job_id):
        frames = job_status(session, job_id).frames
        with progress("frames", frames) as on_frame:
            copies = annotate_job(
                session,
                job_id,
                output,
                face_filter=face_filter,
                anonymise=anonymise,
                roots=settings.permitted_roots,
                name=file_name,
                mode=settings.mode_of_faces,
                on_frame=on_frame,
            )
            for done in copies:
                failed += done.path is None
                say(f"Failed: {done.error}" if done.path is None else str(done.path), err=done.path is None)
                for note in done.notes:
                    say(f"Note: {note}", err=True)
    sys.exit(failed > 0)
