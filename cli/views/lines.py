"""Lines of plain text on stdout and stderr. All that commands print goes through here or through `terminal`."""

import sys

from results.printable import shown


def say(line: str = "", *, err: bool = False) -> None:
    """Prints one line; names in it can neither break it nor give orders to the terminal."""
    print(shown(line), file=sys.stderr if err else sys.stdout, flush=True)
