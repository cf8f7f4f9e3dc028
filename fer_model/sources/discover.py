"""What the user named on the command line, as a list of pictures and videos."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from fer_model.errors import UnreadableMediaError
from fer_model.sources.files import check_remote, is_remote, masked, natural, to_path
from fer_model.sources.roots import check_permitted

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


def find_media(paths: Sequence[str], roots: Sequence[str] = ()) -> Iterator[Found]:
    """Pictures and videos below `paths`: files, folders, quoted globs (`**` too), `file://` URIs, `~`; objects,
    folders and globs `s3://bucket/...`; `http://` and `https://`, each of which is one file.

    Folders are walked in natural order (`2.jpg` before `10.jpg`); hidden entries and files of other
    kinds in them are passed over. A file that is reached twice is listed once. No file is opened. What does not lie
    below `roots` (see `check_permitted`) is not looked for.
    """
    seen: set[str] = set()
    for name in paths:
        try:
            yield from _find_remote(name, roots, seen) if is_remote(name) else _find(name, roots, seen)
        except UnreadableMediaError as error:
            yield Found(masked(name) if is_remote(name) else name, None, str(error))


def _find(name: str, roots: Sequence[str], seen: set[str]) -> Iterator[Found]:
    path = to_path(name)
    check_permitted(path, roots)
    if os.path.isdir(path):
        found = _something(path, _walk(path, seen), "contains no picture or video")
    elif os.path.lexists(path):
        found = _explicit(path, seen)
    elif glob.has_magic(path):
        found = _something(path, _expand(path, seen), "matches no picture or video")
    else:
        found = iter((Found(path, None, f"{path}: does not exist"),))
    return (_permitted(each, roots) for each in found)


def _find_remote(uri: str, roots: Sequence[str], seen: set[str]) -> Iterator[Found]:
    check_remote(uri)
    if uri.startswith("s3:"):
        return _find_s3(uri, roots, seen)
    check_permitted(uri, roots)
    # Whether it is there shows when it is opened.
    return _named(uri, kind_of(urlsplit(uri).path), None, seen)


def _find_s3(uri: str, roots: Sequence[str], seen: set[str]) -> Iterator[Found]:
    # Whoever names no object in S3 is spared its libraries, which load slowly.
    from fer_model.sources.s3 import objects_in, size_of

    magic = glob.has_magic(uri)
    check_permitted(uri, roots)
    key = uri.removeprefix("s3://").partition("/")[2]
    size = None if magic or not key or key.endswith("/") else size_of(uri)
    if size is not None:
        return _named(uri, kind_of(key), size, seen)
    complaint = "matches no picture or video" if magic else "contains no picture or video"
    objects = (_object(each, size, seen) for each, size in objects_in(uri) if kind_of(each))
    return (_permitted(each, roots) for each in _something(uri, objects, complaint))


def _named(uri: str, kind: Kind | None, size: int | None, seen: set[str]) -> Iterator[Found]:
    if kind is None:
        yield Found(uri, None, f"{masked(uri)}: is neither a picture nor a video by its name")
    elif uri not in seen:
        seen.add(uri)
        yield Found(uri, kind, f"{uri}: the file is empty" if size == 0 else None)


def _permitted(found: Found, roots: Sequence[str]) -> Found:
    """Links lead anywhere, and S3 keys may have any name."""
    try:
        check_permitted(found.uri, roots)
    except UnreadableMediaError as error:
        return Found(found.uri, found.kind, str(error))
    return found


def _object(uri: str, size: int, seen: set[str]) -> Found | None:
    return next(_named(uri, kind_of(uri), size, seen), None)


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
    for path in sorted(glob.iglob(pattern, recursive=True), key=natural):
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
    for entry in sorted(entries, key=lambda entry: natural(entry.name)):
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():  # is_dir() fails on links in a circle
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
