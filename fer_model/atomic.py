"""Atomic writes: a file is complete or absent."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Writes a world-readable file: a reader sees the old content or the new, even after a power cut.

    Raises:
        OSError: it cannot be written; the partial file is deleted, so that a full disk has room again.
    """
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Workers often run as another user than the training did.
        partial.chmod(0o644)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
