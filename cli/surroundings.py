"""What a command finds in the process that it runs in: standard streams and a current folder."""

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


def current_folder_is_gone() -> bool:
    """Whether the current folder was deleted: then no relative path leads anywhere."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False
