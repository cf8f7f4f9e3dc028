"""The commands `db ...`: the tables of the database."""

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from cli.options import Duration, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.group()
def db() -> None:
    """The database's tables."""


@db.command()
@settings_options("database_url")
def upgrade(settings: "Settings") -> None:
    """Create the tables, or upgrade them to this version."""
    from results.database import head_revision
    from results.database import upgrade as upgrade_database
    from results.urls import describe

    upgrade_database(settings.database_url)
    say(f"{describe(settings.database_url)} is at revision {head_revision()}.")


@db.command()
@click.option("--older-than", type=Duration(), required=True, help="Age since the end of the job, or hour: 30d, 12h.")
@click.option("--dry-run", is_flag=True, help="List what would be deleted, and delete nothing.")
@settings_options("database_url")
def purge(settings: "Settings", older_than: int, dry_run: bool) -> None:
    """Delete old jobs and old hours of streams.

    With their rows and crops of faces.

    Trainings, and jobs that are not finished, stay. So do the streams themselves.
    """
    from cli.connection import current_database
    from cli.views.removal import print_what_is_left
    from workers.retention import due, due_hours, purge_hours
    from workers.retention import purge as purge_jobs

    database = current_database(settings)
    hours = due_hours(database, timedelta(milliseconds=older_than), own=False)
    old = {status.job: status for status in due(database, timedelta(milliseconds=older_than))}
    deleted = "would be deleted" if dry_run else "deleted"

    def print_deleted(job: str) -> None:
        name = f" ({old[job].name})" if old[job].name else ""
        say(f"{job}{name}: {deleted}, {old[job].frames:,} frames and {old[job].faces:,} faces")

    if dry_run:
        for job in old:
            print_deleted(job)
        removed = len(old)
    else:
        deletion = purge_jobs(database, list(old), settings.permitted_crops, print_deleted)
        print_what_is_left(deletion)
        removed = len(deletion.removed)
        print_what_is_left(purge_hours(database, hours, settings.permitted_crops))
    for name, count in Counter(hour.name for hour in hours).items():
        say(f"stream {name}: {deleted}, {count:,} hours")
    say(f"{removed:,} jobs {deleted}")


@db.command()
@settings_options("database_url")
def current(settings: "Settings") -> None:
    """The revision of the tables."""
    from results.database import current_revision, existing, head_revision

    revision = current_revision(existing(settings.database_url))
    say(f"{revision or 'no tables yet'} (this program: {head_revision()})")
