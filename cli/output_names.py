"""Names of the files that commands write for the media of a job."""

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from results.tables import Media


def file_name(medium: "Media") -> str:
    """A medium's position in its job and its name, without an extension and valid on any file system."""
    path = urlsplit(medium.uri).path if "://" in medium.uri else medium.uri
    stem = re.sub(r"[^\w.-]+", "_", PurePosixPath(path).stem)
    return f"{medium.position:05d}-{stem[:80]}"
