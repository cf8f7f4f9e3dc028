"""Commands for those who run the system: worker, doctor, db."""

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from cli.options import Duration, connection_options, json_option

if TYPE_CHECKING:
    from sqlalchemy import Engine as Database

    from workers.diagnosis.checks import Check


@click.command()
@click.option("--queues", metavar="NAMES", help="Queues to serve, by commas.  [env: FER_QUEUES; default: batch]")
@click.option("--device", metavar="DEVICE", help="auto, cpu or cuda:0.  [env: FER_DEVICE; default: auto]")
@click.option("--name", help="The worker's name, to tell it from others.  [default: its host and process]")
@click.option(
    "--metrics-port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Serve figures for Prometheus there; 0 is nowhere.  [env: FER_METRICS_PORT; default: 0]",
)
@connection_options(broker=True)
def worker(queues: str | None, device: str | None, name: str | None, metrics_port: int | None) -> None:
    """Work on what is queued, until stopped. With several GPUs, one process works on each."""
    given = {"FER_QUEUES": queues, "FER_DEVICE": device, "FER_METRICS_PORT": metrics_port}
    os.environ |= {variable: str(value) for variable, value in given.items() if value not in (None, "")}
    from cli.connection import prepared_database
    from fer_model.engines import actual_device, gpu_count
    from workers.batch.submitting import check_broker
    from workers.metrics import recording
    from workers.queue.app import app
    from workers.settings import settings, writable_cache

    # A worker that cannot work must not begin to take work.
    actual_device(settings().device)
    writable_cache()
    check_broker()
    _check_weights(prepared_database())
    processes = max(1, gpu_count()) if settings().device == "auto" else 1
    words = [
        "worker",
        "--pool=prefork",
        f"--concurrency={processes}",
        f"--queues={settings().queues}",
        f"--hostname={name or f'fer-{os.getpid()}'}@%h",
        "--loglevel=INFO",
        "--without-gossip",
        "--without-mingle",
    ]
    with recording.exported():
        app.worker_main(words)


def _check_weights(database: "Database") -> None:
    from results.database import reading
    from workers.models.store import in_use

    with reading(database) as session:
        _, models = in_use(session)
    for file in models.files:
        file.verify()
    database.dispose()


@click.command()
@json_option
@connection_options(broker=True)
def doctor(as_json: bool) -> None:
    """Check broker, database, device, weights and disk, and say how to mend what fails."""
    from dataclasses import asdict

    from workers.diagnosis.checks import run_checks, settings_table

    checks = run_checks()
    healthy = all(check.ok for check in checks)
    if as_json:
        shown = [asdict(check) for check in checks]
        click.echo(json.dumps({"ok": healthy, "checks": shown, "settings": settings_table()}))
    else:
        _print_checks(checks, settings_table())
    sys.exit(not healthy)


def _print_checks(checks: "list[Check]", settings: dict[str, tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for check in checks:
        console.print(
            f"[{'green' if check.ok else 'red'}]{'✓' if check.ok else '✗'}[/] [bold]{check.name}[/]: ", end=""
        )
        console.print(check.found, markup=False, highlight=False)
        if check.mend:
            console.print(f"  → {check.mend}", markup=False, highlight=False)
    table = Table("setting", "value", "from", box=None, pad_edge=False, header_style="bold")
    for name, (value, origin) in settings.items():
        table.add_row(name, value, origin)
    console.print()
    console.print(table)


@click.group()
def db() -> None:
    """The database's tables."""


@db.command()
@connection_options(broker=False)
def upgrade() -> None:
    """Make the tables, or bring them to this version."""
    from results.database import head_revision
    from results.database import upgrade as upgrade_database
    from results.urls import describe
    from workers.settings import settings

    upgrade_database(settings().database_url)
    click.echo(f"{describe(settings().database_url)} is at revision {head_revision()}.")


@db.command()
@click.option("--older-than", type=Duration(), required=True, help="Jobs that ended so long ago: 30d, 12h.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@connection_options(broker=False)
def purge(older_than: int, dry_run: bool) -> None:
    """Delete old jobs with their rows and pictures of faces. Trainings, and jobs that have not ended, stay."""
    from cli.views.removal import purge as purge_jobs

    purge_jobs(older_than, dry_run)


@db.command()
@connection_options(broker=False)
def current() -> None:
    """The revision of the tables."""
    from results.database import current_revision, existing, head_revision
    from workers.settings import settings

    revision = current_revision(existing(settings().database_url))
    click.echo(f"{revision or 'no tables yet'} (this program: {head_revision()})")
