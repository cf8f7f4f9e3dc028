"""Atomic writes, and the permissions of what is written."""

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes | memoryview, mode: int | None = None) -> None:
    """Writes a file: a reader sees the old content or the new, even after a power cut.

    `mode` are its permissions; None: what the umask leaves.

    Raises:
        OSError: it cannot be written; the partial file is deleted, so that a full disk has room again.
    """
    # Another name for each writer, else one would write into what another has just put in place.
    unfinished = path.with_name(f"{secrets.token_hex(8)}.partial")
    try:
        if mode is not None:
            create(unfinished, mode)
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def create(path: Path, mode: int) -> None:
    """Makes an empty file, or empties one, with exactly these permissions. A link is not followed. Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def left_by_umask(mode: int) -> int:
    """`mode` without what the umask of this process takes away: `tempfile` makes folders for their owner alone."""
    lines = Path("/proc/self/status").read_text().splitlines() if os.path.exists("/proc/self/status") else []
    umask = next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), 0o022)
    return mode & ~umask
