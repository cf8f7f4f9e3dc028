"""The command `jobs`: the jobs in the database."""

import json
from typing import TYPE_CHECKING

import click

from cli.options import Whole, json_option, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@click.option("--limit", type=Whole(min=1), default=20, help="Show the N newest.")
@json_option
@settings_options("database_url")
def jobs(settings: "Settings", limit: int, as_json: bool) -> None:
    """The jobs in the database, newest first."""
    from cli.connection import current_database
    from results.database import reading
    from results.jobs import list_jobs
    from results.read.status import job_statuses

    with reading(current_database(settings)) as session:
        rows = job_statuses(session, [job.id for job in list_jobs(session, limit=limit)])
    if as_json:
        say(json.dumps([{**row.as_dict(), "name": row.name, "kind": row.kind} for row in rows]))
        return
    from rich.table import Table

    from cli.views.terminal import print_table

    table = Table(box=None, pad_edge=False)
    # For 80 columns: only the name wraps.
    for title in ("job", "kind", "name", "state"):
        table.add_column(title, no_wrap=title != "name", min_width=23 if title == "job" else None)
    for title in ("files", "frames", "faces", "failed"):
        table.add_column(title, justify="right")
    for row in rows:
        # A training has no files; `train list` shows what it has.
        failed = f"{row.failed:,} of {row.media:,}" if row.failed else "0"
        counts = () if row.kind == "train" else (*(f"{n:,}" for n in (row.media, row.frames, row.faces)), failed)
        table.add_row(row.job, row.kind, row.name or "", row.state, *counts)
    print_table(table)
