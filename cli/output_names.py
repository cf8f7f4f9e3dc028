"""Names of the files that commands write for the media of a job."""

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from results.tables import Media


def file_name(medium: "Media") -> str:
    """A medium's position in its job and its name, without an extension and valid on any file system.

    Of an hour of a stream the hour in UTC stands for the position.
    """
    path = urlsplit(medium.uri).path if "://" in medium.uri else medium.uri
    stem = re.sub(r"[^\w.-]+", "_", PurePosixPath(path).stem)
    place = f"{medium.position:05d}" if medium.started_at is None else f"{medium.started_at:%Y-%m-%dT%HZ}"
    return f"{place}-{stem[:80]}"
