"""The command `fer-batch`. A command's module is imported when it is called."""

import importlib
from typing import Any

import click

from cli.errors import escaped_messages, one_sentence
from cli.standard_streams import prepare_streams
from cli.surroundings import open_standard_streams

SECTIONS = {
    "Jobs": ("run", "up", "submit", "status", "jobs", "cancel", "retry", "resume", "delete"),
    "Results": ("timeline", "export", "report", "annotate"),
    "Live streams": ("stream", "tail"),
    "Models": ("models", "train", "evaluate", "ensemble"),
    "Operation": ("worker", "web", "flower", "bench", "doctor", "db"),
}
"""As `--help` lists the commands. Each is in the module of its name."""

COMMANDS = tuple(name for names in SECTIONS.values() for name in names)


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"cli.{name}"), name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, names in SECTIONS.items():
            commands = [(name, self.get_command(context, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), each.get_short_help_str(200)) for name, each in commands if each]
                )

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with escaped_messages():
            return super().make_context(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        with escaped_messages():
            return super().invoke(context)

    def main(self, *arguments: Any, **options: Any) -> Any:
        open_standard_streams()
        prepare_streams()
        with one_sentence():
            return super().main(*arguments, **options)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="fer-batch")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
def main(debug: bool) -> None:
    """Who showed which emotion when: photographs and videos in, an emotion timeline in SQL out."""
