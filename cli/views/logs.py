"""One log of several programs: each line begins with the name of its program."""

from collections.abc import Callable, Sequence

STYLES = ("bold", "cyan", "green", "yellow", "magenta", "blue")
"""Of the names, in turn: colours on a terminal only."""


def log_to_stdout(names: Sequence[str]) -> Callable[[str, str], None]:
    """A function that prints a line of the program of that name, which must be one of `names`."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    width = max(map(len, names))
    styles = {name: STYLES[number % len(STYLES)] for number, name in enumerate(names)}

    def log(name: str, line: str) -> None:
        console.print(Text.assemble((f"{name:<{width}} | ", styles[name]), line), soft_wrap=True)

    return log
