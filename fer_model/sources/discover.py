"""What the user named on the command line, as a list of pictures and videos."""

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fer_model.sources.files import to_path

PICTURE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"))
VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm"))

Kind = Literal["image", "video"]


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was found, or one sentence about what was not.

    `uri` is an absolute path (or the remote URI as it was given). `kind` is None where nothing
    could be told; `error`, where it is not None, is a sentence that begins with the name.
    """

    uri: str
    kind: Kind | None
    error: str | None = None


def find_media(paths: Sequence[str]) -> Iterator[Found]:
    """Pictures and videos below `paths`: files, folders, quoted globs (`**` too), `file://` URIs, `~`.

    Folders are walked in natural order (`2.jpg` before `10.jpg`); hidden entries and files of other
    kinds in them are passed over. A file that is reached twice is listed once. No file is opened.
    """
    seen: set[str] = set()
    for name in paths:
        yield from _find(name, seen)


def _find(name: str, seen: set[str]) -> Iterator[Found]:
    if re.match(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]*://", name):
        yield Found(name, None, f"{name}: remote sources are not supported yet")
        return
    try:
        path = to_path(name)
    except ValueError as error:
        yield Found(name, None, str(error))
        return
    if os.path.isdir(path):
        yield from _something(path, _walk(path, seen), "contains no picture or video")
    elif os.path.lexists(path):
        yield from _explicit(path, seen)
    elif glob.has_magic(path):
        yield from _something(path, _expand(path, seen), "matches no picture or video")
    else:
        yield Found(path, None, f"{path}: does not exist")


def _something(path: str, found: Iterable[Found | None], complaint: str) -> Iterator[Found]:
    """What was found, or the complaint; None stands for what an earlier name already listed."""
    nothing = True
    for each in found:
        nothing = False
        if each is not None:
            yield each
    if nothing:
        yield Found(path, None, f"{path}: {complaint}")


def _explicit(path: str, seen: set[str]) -> Iterator[Found]:
    if kind_of(path) is None:
        yield Found(path, None, f"{path}: is neither a picture nor a video by its name")
    elif (found := _file(path, os.path.realpath(path), seen)) is not None:
        yield found


def _expand(pattern: str, seen: set[str]) -> Iterator[Found | None]:
    for path in sorted(glob.iglob(pattern, recursive=True), key=_natural):
        if os.path.isdir(path):
            yield from _walk(path.rstrip(os.sep), seen)
        elif kind_of(path) is not None:
            yield _file(path, os.path.realpath(path), seen)


def _walk(folder: str, seen: set[str]) -> Iterator[Found | None]:
    real = os.path.realpath(folder)
    if real in seen:  # listed before, or a link that leads back up
        yield None
        return
    seen.add(real)
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".")]
    except OSError as error:
        yield Found(folder, None, f"{folder}: cannot be opened ({error.strerror})")
        return
    for entry in sorted(entries, key=lambda entry: _natural(entry.name)):
        if entry.is_dir():
            yield from _walk(entry.path, seen)
        elif kind_of(entry.name) is not None:
            # Only a link needs the costly resolution: everything else lies where its folder lies.
            key = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
            yield _file(entry.path, key, seen)


def _file(path: str, key: str, seen: set[str]) -> Found | None:
    if key in seen:
        return None
    seen.add(key)
    if (printable := path.encode(errors="replace").decode()) != path:
        # No database could hold the name, and no terminal show it.
        return Found(printable, kind_of(path), f"{printable}: the file's name is not valid UTF-8; rename it")
    try:
        status = os.stat(path)
    except OSError as error:
        return Found(path, kind_of(path), f"{path}: cannot be opened ({error.strerror})")
    if not stat.S_ISREG(status.st_mode):
        return Found(path, kind_of(path), f"{path}: is not a regular file")
    return Found(path, kind_of(path), None if status.st_size else f"{path}: the file is empty")


def kind_of(name: str) -> Kind | None:
    """Picture or video, by the suffix alone, in upper or lower case; None for anything else."""
    suffix = os.path.splitext(name)[1].lower()
    return "image" if suffix in PICTURE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _natural(name: str) -> tuple[list[str | int], str]:
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if n % 2 else part.casefold() for n, part in enumerate(parts)], name
