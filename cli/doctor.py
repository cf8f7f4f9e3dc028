"""The command `doctor`: check the installation and its services."""

import json
import sys
from typing import TYPE_CHECKING

import click

from cli.options import json_option, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.diagnosis.checks import Check
    from workers.settings import Settings

MARKS = {True: ("✓ ", "green"), False: ("✗ ", "red"), None: ("– ", "yellow")}


@click.command()
@json_option
@settings_options("database_url", "broker_url")
def doctor(settings: "Settings", as_json: bool) -> None:
    """Check what a worker needs, and name what mends it.

    Redis, database, clock, workers, GPU, weights and disks.
    """
    from dataclasses import asdict

    from workers.diagnosis.checks import run_checks, settings_table

    checks = run_checks(settings)
    options = [name for name, value in click.get_current_context().params.items() if value is not None]
    table = settings_table(settings, options)
    healthy = all(check.ok is not False for check in checks)
    if as_json:
        shown = [asdict(check) for check in checks]
        say(json.dumps({"ok": healthy, "checks": shown, "settings": table}))
    else:
        _print_checks(checks, table)
    sys.exit(not healthy)


def _print_checks(checks: "list[Check]", settings: dict[str, tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from cli.views.terminal import safe_text, terminal

    console = terminal()
    for check in checks:
        mark = MARKS[check.ok]
        console.print(Text.assemble(mark, (check.name, "bold"), ": ", safe_text(check.found)))
        if check.mend:
            console.print(safe_text(f"  → {check.mend}"))
    table = Table("setting", "value", "from", box=None, pad_edge=False, header_style="bold")
    for name, (value, origin) in settings.items():
        table.add_row(name, value, origin)
    console.print()
    console.print(table)
