"""What visitors upload: a folder for each visit, which ends with it, and one for what is submitted as a job."""

import fcntl
import re
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import IO

from web.errors import WebError

KEPT, VISITS, LOCK = "submitted", "visits-", "lock"
GRACE_S = 20.0
"""A connection that breaks off for a moment is no end of a visit."""

SPARE_BYTES = 2**30
"""Room that is left on the disk for the database and for the work."""


class Uploads:
    """The uploads of one server below `folder`. Every method may be called by any thread.

    Raises `OSError` where the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        _forget_dead(folder)
        self._visits = Path(tempfile.mkdtemp(prefix=VISITS, dir=folder))
        self._lock = _locked(self._visits)
        self._ending: dict[str, Timer] = {}

    def begin(self) -> str:
        """A new visit's token, which cannot be guessed."""
        token = secrets.token_hex(16)
        (self._visits / token).mkdir(mode=0o700)
        return token

    def hold(self, token: str) -> None:
        """The visitor is there, again if `end` was called before."""
        if timer := self._ending.pop(token, None):
            timer.cancel()

    def is_open(self, token: str) -> bool:
        """Whether the visit takes files; not after `end`, once the visitor was away too long."""
        return (self._visits / token).is_dir()

    def end(self, token: str, grace_s: float = GRACE_S) -> None:
        """Deletes what was uploaded in a visit and not submitted, unless the visitor comes back in time."""
        timer = self._ending[token] = Timer(grace_s, self._delete, [token])
        timer.daemon = True
        timer.start()

    def _delete(self, token: str) -> None:
        self._ending.pop(token, None)
        shutil.rmtree(self._visits / token, ignore_errors=True)

    def new(self, token: str, name: str) -> Path:
        """Where the visit's next file goes. Raises `WebError` if the visit has ended or the disk is full."""
        folder = self._visits / token
        if not re.fullmatch("[0-9a-f]{32}", token) or not folder.is_dir():
            raise WebError("The visit has ended; reload the page.")
        self.check_room()
        place = folder / secrets.token_hex(8)
        place.mkdir(mode=0o700)
        return place / plain_name(name)

    def check_room(self) -> None:
        """Raises `WebError` if the disk is full."""
        if shutil.disk_usage(self._folder).free < SPARE_BYTES:
            raise WebError("The server's disk has no room for it.")

    def find(self, token: str, number: str) -> Path | None:
        """A file of a visit by the name of its folder, as `new` gave it; None if it is not there."""
        folder = self._visits / token / number
        if not re.fullmatch("[0-9a-f]{32}/[0-9a-f]{16}", f"{token}/{number}") or not folder.is_dir():
            return None
        return next(folder.iterdir(), None)

    def keep(self, path: Path) -> Path:
        """Moves a file of a visit to where it outlives it; for what is submitted as a job."""
        place = self._folder / KEPT / path.parent.name
        place.mkdir(parents=True, mode=0o700)
        return path.rename(place / path.name)

    def give_back(self, kept: Path, path: Path) -> None:
        """Undoes `keep`: the job could not be submitted."""
        with suppress(OSError):
            kept.rename(path)
            kept.parent.rmdir()

    def close(self) -> None:
        """Deletes the uploads of all visits."""
        shutil.rmtree(self._visits, ignore_errors=True)
        self._lock.close()


def plain_name(name: str) -> str:
    """A file's name without folders and unprintable characters, at most 200 bytes long."""
    base = re.split(r"[/\\]", name)[-1].strip().lstrip(".")
    stem, dot, suffix = "".join(letter for letter in base if letter.isprintable()).rpartition(".")
    stem, dot, suffix = (stem, dot, suffix) if dot else (suffix, "", "")
    room = 200 - len((dot + suffix[:20]).encode())
    return (stem.encode()[:room].decode(errors="ignore") or "upload") + dot + suffix[:20]


def _locked(folder: Path) -> IO[str]:
    """The open lock of a server's folder. Raises `OSError` while a server lives that has it."""
    lock = (folder / LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock


def _forget_dead(folder: Path) -> None:
    """Deletes the visits of servers that were killed."""
    for visits in folder.glob(f"{VISITS}*"):
        with suppress(OSError):
            _locked(visits).close()
            shutil.rmtree(visits)
