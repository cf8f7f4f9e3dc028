"""One log of several programs: each line begins with the name of its program, or is a JSON object that has it."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cli.views.lines import say

STYLES = ("bold", "cyan", "green", "yellow", "magenta", "blue")
"""Of the names, in turn: colours on a terminal only."""

ROUTINE = re.compile(r"\[[^]]*: (?:DEBUG|INFO)/|\d+:\w [^*#]{10,40} [*.-] ")
"""How lines below a warning begin, of Celery and of Redis."""


def log_to_stdout(names: Sequence[str], quiet: bool = False) -> Callable[[str, str], None]:
    """A function that prints a line of the program of that name, which must be one of `names`.

    With `quiet` it leaves out what is no warning.
    """
    from rich.text import Text

    from cli.views.terminal import terminal
    from results.printable import shown

    console = terminal()
    width = max(map(len, names))
    styles = {name: STYLES[number % len(STYLES)] for number, name in enumerate(names)}

    def log(name: str, line: str) -> None:
        if not (quiet and ROUTINE.match(line)):
            console.print(Text.assemble((f"{name:<{width}} | ", styles[name]), shown(line)), soft_wrap=True)

    return log


def log_as_json(quiet: bool = False) -> Callable[[str, str], None]:
    """As `log_to_stdout`, but prints objects: `program`, and the line's own keys or `time` (UTC) and `message`."""

    def log(name: str, line: str) -> None:
        entry = _entry(line)
        if not (quiet and (entry.get("level") in ("DEBUG", "INFO") or ROUTINE.match(line))):
            say(json.dumps({"program": name, **entry}))

    return log


def _entry(line: str) -> dict[str, object]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if isinstance(entry, dict):
        return entry
    return {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "message": line}
