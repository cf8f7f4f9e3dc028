"""The command `submit`: queue photographs and videos."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from cli.options import Whole, batch_options, batch_options_from, json_option, settings_options
from cli.standard_streams import outlive_stdout
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@batch_options
@click.option("--priority", type=Whole(0, 9), default=5, help="Jobs with a higher one go first.")
@click.option("--token", help="The same token twice is one job: safe to repeat.")
@click.option("--notify", metavar="URL", help="Post the job's end there, as signed JSON.")
@click.option("--wait", is_flag=True, help="Show progress, and return when the job has ended.")
@json_option
@settings_options("quiet", "database_url", "broker_url")
def submit(
    settings: "Settings",
    paths: tuple[str, ...],
    name: str | None,
    priority: int,
    token: str | None,
    notify: str | None,
    wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Queue photographs and videos: files, folders, globs. Prints the job's id."""
    from cli.connection import prepared_database
    from cli.views.following import follow, planning, print_errors, print_passed_over
    from fer_model.sources.discover import PassedOver
    from workers.batch.submitting import submit as submit_job
    from workers.queue.app import make_app
    from workers.queue.broker import check_broker

    if notify and not notify.startswith(("http://", "https://")):
        raise click.UsageError("--notify takes an address that begins with http:// or https://.")
    outlive_stdout()
    chosen = batch_options_from(settings, **options)
    app = make_app(settings)
    check_broker(app)
    database = prepared_database(settings)
    settings_of_job: dict[str, Any] = {"name": name, "priority": priority, "token": token, "notify": notify}
    passed_over = PassedOver()
    with planning(settings.quiet) as on_medium:
        job = submit_job(app, database, paths, chosen, on_medium=on_medium, passed_over=passed_over, **settings_of_job)
    print_passed_over(passed_over)
    say(json.dumps({"job": job.job, "media": job.media, "shards": job.shards}) if as_json else job.job)
    if wait:
        status = follow(database, job.job, quiet=settings.quiet)
        print_errors(status)
        sys.exit(status.is_a_failure)
