"""One log of several programs: each line begins with the name of its program."""

from collections.abc import Callable, Sequence

STYLES = ("bold", "cyan", "green", "yellow", "magenta", "blue")
"""Of the names, in turn: colours on a terminal only."""


def log_to_stdout(names: Sequence[str]) -> Callable[[str, str], None]:
    """A function that prints a line of the program of that name, which must be one of `names`."""
    from rich.text import Text

    from cli.views.terminal import terminal
    from results.printable import shown

    console = terminal()
    width = max(map(len, names))
    styles = {name: STYLES[number % len(STYLES)] for number, name in enumerate(names)}

    def log(name: str, line: str) -> None:
        console.print(Text.assemble((f"{name:<{width}} | ", styles[name]), shown(line)), soft_wrap=True)

    return log
