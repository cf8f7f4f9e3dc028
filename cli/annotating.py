"""The command `annotate`: media with what was found drawn into them."""

import sys
from pathlib import Path
from typing import Any

import click

from cli.options import choice_from, choice_options, connection_options


@click.command()
@click.argument("job", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the new files.")
@click.option("--anonymise", type=click.Choice(["blur", "pixelate"]), help="Hide every face that was found.")
@choice_options
@connection_options(broker=False)
def annotate(job: str | None, output: Path, anonymise: str | None, **options: Any) -> None:
    """Draw boxes, tracks, emotions and bars into copies of the media. Of the newest job, if none is named.

    Labels are smoothed over a second unless --smooth says otherwise. Your files stay as they are.
    """
    from cli.database import asked_about
    from cli.naming import file_name
    from cli.progress import progress
    from results.jobs import job_status
    from results.subtitles import SMOOTH_S
    from workers.annotating import annotate_job

    choice = choice_from(**options, default=SMOOTH_S)
    output.mkdir(parents=True, exist_ok=True)
    failed = 0
    with asked_about(job) as (session, job_id):
        frames = job_status(session, job_id).frames
        with progress("frames", frames) as on_frame:
            asked: dict[str, Any] = {"choice": choice, "anonymise": anonymise, "name": file_name, "on_frame": on_frame}
            for done in annotate_job(session, job_id, output, **asked):
                failed += done.path is None
                click.echo(f"Failed: {done.error}" if done.path is None else done.path, err=done.path is None)
    sys.exit(failed > 0)
