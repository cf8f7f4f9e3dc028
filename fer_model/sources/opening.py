"""Opens a medium as a file: local, on a web server or in S3."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from math import inf

from fer_model.errors import PARSER_ERRORS, UnreadableMediaError
from fer_model.sources.files import check_remote, is_remote, masked, to_path
from fer_model.sources.identity import UNKNOWN, Identity, check_same
from fer_model.sources.roots import check_permitted


@contextmanager
def open_media(
    uri: str, roots: Sequence[str] = (), expected: Identity = UNKNOWN, within_s: float = inf
) -> Iterator[BufferedReader]:
    """The file behind a path or a URI, seekable, at its beginning, and not empty; closed at the end.

    From a web server it has to arrive in `within_s` seconds.

    Messages about it begin with its `name`; its `raw` is a `RemoteFile` if it is remote.

    Raises:
        UnreadableMediaError: it lies outside `roots` (see `check_permitted`), is missing, a folder, no regular file or
            empty, may not be read, or is not the `expected` one, at the beginning or at the end.
        TransientMediaError: a server does not answer.
    """
    check_permitted(uri, roots)
    with _remote(uri, roots, within_s) if is_remote(uri) else _local(to_path(uri), roots) as file:
        check_same(file, expected)
        try:
            empty = not file.read(1)
        except OSError as error:
            raise UnreadableMediaError(f"{file.name}: cannot be read ({error.strerror})") from error
        if empty:
            raise UnreadableMediaError(f"{file.name}: the file is empty")
        file.seek(0)
        yield file
        check_same(file, expected)


def _local(path: str, roots: Sequence[str]) -> BufferedReader:
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller closes it
    except FileNotFoundError:
        raise UnreadableMediaError(f"{path}: does not exist") from None
    except IsADirectoryError:
        raise UnreadableMediaError(f"{path}: is a folder") from None
    except OSError as error:
        raise UnreadableMediaError(f"{path}: cannot be opened ({error.strerror})") from error
    except ValueError:  # a NUL in the name
        raise UnreadableMediaError(f"{path!r}: is no file's name") from None
    try:
        _check_opened(file, path, roots)
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    # Opening a FIFO would wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _check_opened(file: BufferedReader, path: str, roots: Sequence[str]) -> None:
    """Checks what was opened, not what its name led to before: a link may have been exchanged in between."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise UnreadableMediaError(f"{path}: is not a regular file")
    opened = f"/proc/self/fd/{file.fileno()}"
    if roots and os.path.exists(opened):
        try:
            check_permitted(os.readlink(opened), roots)
        except UnreadableMediaError:
            raise UnreadableMediaError(f"{path}: lies outside FER_MEDIA_ROOTS") from None


def _remote(uri: str, roots: Sequence[str], within_s: float) -> BufferedReader:
    check_remote(uri)
    try:
        # Local files need none of these libraries.
        if uri.startswith("s3:"):
            from fer_model.sources.s3 import open_s3

            return BufferedReader(open_s3(uri))
        from fer_model.sources.http import open_http

        return BufferedReader(open_http(uri, roots, within_s))
    except PARSER_ERRORS as error:  # answers that the libraries do not expect
        raise UnreadableMediaError(f"{masked(uri)}: cannot be requested ({type(error).__name__})") from None
