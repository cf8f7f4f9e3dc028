"""The command `fer-batch`. Modules of commands are imported only when one of theirs is called."""

import importlib
from typing import Any

import click

COMMANDS = {
    "run": "cli.run",
    "submit": "cli.jobs",
    "status": "cli.jobs",
    "jobs": "cli.jobs",
    "cancel": "cli.jobs",
    "retry": "cli.jobs",
    "resume": "cli.jobs",
    "delete": "cli.jobs",
    "timeline": "cli.timeline",
    "export": "cli.export",
    "report": "cli.report",
    "annotate": "cli.annotate",
    "models": "cli.models",
    "train": "cli.train",
    "evaluate": "cli.evaluate",
    "ensemble": "cli.ensemble",
    "worker": "cli.operations",
    "flower": "cli.flower",
    "bench": "cli.bench",
    "doctor": "cli.operations",
    "db": "cli.operations",
}
"""In the order in which `--help` lists them."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[name]), name)
        return command

    def main(self, *arguments: Any, **options: Any) -> Any:
        from cli.errors import one_sentence

        with one_sentence():
            return super().main(*arguments, **options)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="fer-batch")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def main(debug: bool) -> None:
    """Who showed which emotion when: photographs and videos in, an emotion timeline in SQL out."""
