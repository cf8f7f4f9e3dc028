"""Deleting jobs, and saying what was deleted and what could not be."""

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sqlalchemy import Engine as Database

    from workers.retention import Removed


def purge(database: "Database", older_than_ms: int, dry_run: bool) -> None:
    """Deletes the jobs that ended at least so long ago, or says which these are."""
    from results.database import reading
    from results.read.status import job_statuses
    from results.retention import compact, old_jobs
    from workers.retention import remove

    with reading(database) as session:
        old = job_statuses(session, [job.id for job in old_jobs(session, timedelta(milliseconds=older_than_ms))])
    removed = []
    for each in old:
        if not dry_run:
            removed.append(remove(database, each.job))
        name = f" ({each.name})" if each.name else ""
        click.echo(f"{each.job}{name}: {'would be ' * dry_run}deleted, {each.frames:,} frames and {each.faces:,} faces")
    if removed:
        say_removed(removed, compact(database))
    click.echo(f"{len(old):,} jobs {'would be ' * dry_run}deleted")


def say_removed(removed: "Sequence[Removed]", compacted: bool) -> None:
    """On stderr: crops that are elsewhere, and a file that will shrink later."""
    for each in removed:
        if each.crops_left:
            where = f"{each.crops_left} are not on this machine"
            print(f"Note: the pictures of faces in {where}; delete them there.", file=sys.stderr)
    if not compacted:
        print("Note: another job is not finished, so the file keeps its size until the next deletion.", file=sys.stderr)
