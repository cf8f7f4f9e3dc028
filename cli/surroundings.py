"""What a command needs of the process it runs in: open standard streams and a current folder."""

import os
import sys
from pathlib import Path


def open_standard_streams() -> None:
    """Connects closed ones (`2>&-`) to the null device.

    The next file that is opened would take the number of a closed one, and what a library prints would go into it, for
    instance into the database.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open("r" if name == "stdin" else "w")  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def check_current_folder() -> None:
    """Raises `WorkersError` if the current folder was deleted: no process can be started from there."""
    from workers.errors import WorkersError

    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise WorkersError("The current folder was deleted; change to another (`cd`) and try again.") from error
