"""The standard streams: any text can be written to them, and a reader that is gone changes nothing about the work."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO, cast

STDERR = 2


class _Lenient(io.FileIO):
    """A standard stream that drops its output once the reader is gone; `drops_all`: after any failure."""

    drops_all = False

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            # What waits in the buffer must not fail once more when Python ends.
            discard(self.fileno())
            if error.errno != errno.EPIPE and not self.drops_all:
                raise
            if error.errno != errno.EPIPE and self.fileno() != STDERR:
                print(f"Note: the rest of the output is lost: {error.strerror}.", file=sys.stderr)
            return memoryview(data).nbytes  # type: ignore[arg-type]


def prepare_streams() -> None:
    """Makes stdout and stderr take any text in any encoding.

    Leaves alone streams that are not the process's own, such as those of a test.
    """
    if (own := sys.__stdout__) and sys.stdout is own:
        sys.stdout = _lenient(1, own.encoding)
    if (own := sys.__stderr__) and sys.stderr is own:
        sys.stderr = _lenient(STDERR, own.encoding)
        _raw(sys.stderr).drops_all = True


def outlive_stdout() -> None:
    """From now on output that cannot be written is dropped with a note: the exit code tells how the work ended."""
    if isinstance(raw := getattr(getattr(sys.stdout, "buffer", None), "raw", None), _Lenient):
        raw.drops_all = True


@contextmanager
def binary_stdout() -> Iterator[BinaryIO]:
    """Stdout for bytes. Raises `OSError` when they cannot be written, also because the reader is gone."""
    if not isinstance(sys.stdout.buffer, io.BufferedWriter) or not isinstance(sys.stdout.buffer.raw, _Lenient):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    sys.stdout.flush()
    with open(sys.stdout.fileno(), "wb", closefd=False) as strict:
        yield strict


def _lenient(number: int, encoding: str) -> TextIO:
    raw = _Lenient(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=number == STDERR or raw.isatty(),
    )


def _raw(stream: TextIO) -> _Lenient:
    return cast(_Lenient, cast(io.BufferedWriter, stream.buffer).raw)


def discard(number: int) -> None:
    """What is written to this descriptor from now on vanishes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
