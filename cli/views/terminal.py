"""The terminal as Rich draws it, without Rich's habit of obeying what stands in the text."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from results.printable import shown

NARROWEST = 80
"""Columns of a table."""


class _Terminal(Console):
    """A console for which a string is text: no markup, no emoji codes, no control characters, no line breaks.

    Styled text is a `Text` or an argument `style`.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(shown(text), **options)


def terminal(*, stderr: bool = False) -> Console:
    """The console of stdout or stderr. Raises nothing for any name."""
    return _Terminal(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_table(table: Table) -> None:
    """A table on stdout, at least 80 columns wide: a narrower terminal wraps its lines, but no number is cut off."""
    console = terminal()
    console.width = max(console.width, NARROWEST)
    console.print(table)


def safe_text(text: str, style: str = "") -> Text:
    """A name with a style, or for where Rich takes a `str` for markup (`status`, `TextColumn`)."""
    return Text(shown(text), style)
