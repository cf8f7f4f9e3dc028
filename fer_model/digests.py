"""Digests of files: sha256, or git's blob id."""

import hashlib
from pathlib import Path


def digest(path: Path, kind: str) -> str:
    """A file's digest, lower-case hex: `sha256`, or `git`, the id of a git blob. Raises `OSError`."""
    running = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
    if kind == "git":
        running.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: running).hexdigest()


def matches(path: Path, promised: str) -> bool:
    """Whether a file has the expected digest, `sha256:HEX` or `git:HEX`. Raises `OSError`."""
    kind, _, value = promised.partition(":")
    return digest(path, kind) == value
