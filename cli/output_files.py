"""Files that a command writes completely or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cli.standard_streams import binary_stdout


@contextmanager
def written(output: Path | None) -> Iterator[BinaryIO]:
    """A file to write to, which replaces `output` when it is complete; stdout, if there is none. Raises `OSError`."""
    if output is None:
        with binary_stdout() as stdout:
            yield stdout
        return
    partial = output.with_name(output.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(output)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
