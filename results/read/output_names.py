"""Names of the files that hold the results of a medium."""

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from results.tables import Media

LONGEST = 160
"""Bytes of a name's stem: file systems take 255, and position and extensions come on top."""


def file_name(medium: "Media", stream: str | None = None) -> str:
    """A medium's position in its job and its name, without an extension and valid on any file system.

    Of an hour of the stream with this name, the hour in UTC and the name.
    """
    path = urlsplit(medium.uri).path if "://" in medium.uri else medium.uri
    stem = re.sub(r"[^\w.-]+", "_", stream or PurePosixPath(path).stem)
    place = f"{medium.position:05d}" if medium.started_at is None else f"{medium.started_at:%Y-%m-%dT%HZ}"
    return f"{place}-{stem.encode()[:LONGEST].decode(errors='ignore')}"
