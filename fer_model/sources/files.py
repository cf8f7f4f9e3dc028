"""Files as the sources see them: plain paths and `file://` URIs."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fer_model.errors import UnreadableMediaError


def to_path(uri: str) -> str:
    """The absolute path that a path, a path with `~` or a `file://` URI stands for.

    Raises:
        ValueError: the URI names a file on another host.
    """
    if not uri.startswith("file:"):
        return os.path.abspath(os.path.expanduser(uri))
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{uri}: a file on another host cannot be read")
    return os.path.abspath(unquote(parts.path))


def read_head(path: str) -> bytes:
    """The first 16 bytes of a file, which is thereby known to exist, to be readable and not to be empty.

    Raises:
        UnreadableMediaError: it is missing, a folder, empty, or may not be read.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise UnreadableMediaError(f"{path}: does not exist") from None
    except IsADirectoryError:
        raise UnreadableMediaError(f"{path}: is a folder") from None
    except OSError as error:
        raise UnreadableMediaError(f"{path}: cannot be opened ({error.strerror})") from error
    if not head:
        raise UnreadableMediaError(f"{path}: the file is empty")
    return head
