"""Files that were there when the job was submitted and are missing on this host: deleted, or a share not mounted."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fer_model.errors import FerModelError
from fer_model.sources.files import is_remote, to_path
from fer_model.sources.roots import check_permitted
from workers.errors import MissingMediaError

AWAY = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT}
"""What the system answers for a file that is deleted, or lies on a share that is not mounted or was cut off."""


@contextmanager
def noticed(uri: str, roots: Sequence[str]) -> Iterator[None]:
    """Inside, an error of reading the file at `uri` becomes a `MissingMediaError` if the file is not there.

    `roots` is where it must lie, as in `Settings.permitted_roots`; elsewhere nothing is looked for.
    """
    try:
        yield
    except (FerModelError, OSError) as error:
        check_permitted(uri, roots)
        # A share that was away for a moment may be back by now: what could not be opened is tried again.
        if not is_missing(uri) and (is_remote(uri) or not _was_absent(error, uri)):
            raise
        raise _missing(uri) from error


def _was_absent(error: BaseException, uri: str) -> bool:
    """Whether there was no file to be opened at `uri`, whatever is there now."""
    cause = error if isinstance(error, OSError) else error.__context__
    if not isinstance(cause, OSError) or cause.errno not in (errno.ENOENT, errno.ENOTDIR):
        return False
    # Other files may be missing too: weights, for one.
    return cause.filename is None or os.path.abspath(cause.filename) == os.path.abspath(to_path(uri))


def _missing(uri: str) -> MissingMediaError:
    """The error for a file that is not there."""
    reason = f"{uri}: was there when the job was submitted, and is missing on {os.uname().nodename}"
    return MissingMediaError(reason, uri, _folder_is_gone(to_path(uri)))


def is_missing(uri: str) -> bool:
    """Whether a file is not there; False for a remote one, which is not looked for."""
    if is_remote(uri):
        return False
    try:
        os.stat(to_path(uri))
    except OSError as error:
        return error.errno in AWAY
    except ValueError:  # a NUL in the name
        return False
    return False


def _folder_is_gone(path: str) -> bool:
    try:
        with os.scandir(os.path.dirname(path)) as entries:
            return next(entries, None) is None
    except OSError:
        return True
