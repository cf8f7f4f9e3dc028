"""What tells a file from another one of the same name: its size, its time of change, its ETag."""

import os
from dataclasses import dataclass
from io import BufferedReader

from fer_model.errors import UnreadableMediaError
from fer_model.sources.remote import RemoteFile

CHANGED = "has changed since it was submitted"


@dataclass(frozen=True, slots=True)
class Identity:
    """Size in bytes, mtime in seconds since 1970 in UTC, and a server's ETag; None where one is not known."""

    size: int | None = None
    modified: float | None = None
    etag: str | None = None

    def differs(self, other: "Identity") -> bool:
        """Whether the two are known to be of different files."""
        return (
            _differ(self.size, other.size)
            or _differ(self.etag, other.etag)
            or (self.modified is not None and other.modified is not None and not _same(self.modified, other.modified))
        )


UNKNOWN = Identity()


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other


def _same(one: float, other: float) -> bool:
    # Some network file systems cut times to whole seconds.
    return abs(one - other) < 1e-5 or (int(one) == int(other) and (one.is_integer() or other.is_integer()))


def identity_of(file: BufferedReader) -> Identity:
    """The identity of an open file; of a remote one as its server gave it."""
    if isinstance(file.raw, RemoteFile):
        return Identity(file.raw.size, None, file.raw.etag)
    status = os.fstat(file.fileno())
    return Identity(status.st_size, status.st_mtime)


def check_same(file: BufferedReader, expected: Identity) -> None:
    """Raises `UnreadableMediaError` if an open file is known not to be the expected one."""
    if expected.differs(identity_of(file)):
        raise UnreadableMediaError(f"{file.name}: {CHANGED}")
