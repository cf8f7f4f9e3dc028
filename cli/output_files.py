"""Files that a command writes completely or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cli.standard_streams import binary_stdout

STDOUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@contextmanager
def written(output: Path | None) -> Iterator[BinaryIO]:
    """A file to write to, which replaces `output` when it is complete; stdout, if there is none, or it is named or `-`.

    A link stays one: its target is replaced. What is no file, as a pipe or a device, is written to as it is. Raises
    `OSError`.
    """
    # It may be a file that holds something, and opening it anew would begin at its start.
    if output is None or str(output) == "-" or os.path.abspath(output) in STDOUT:
        with binary_stdout() as stdout:
            yield stdout
        return
    if output.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder; name a file in it", str(output))
    if output.exists() and not output.is_file():
        with output.open("wb") as special:
            yield special
        return
    target = Path(os.path.realpath(output))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "its folder does not exist", str(output))
    partial = target.with_name(target.name + ".partial")
    try:
        file = partial.open("wb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(output)) from error
    try:
        with file:
            yield file
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
