"""Discovery: paths, globs and URIs to a list of pictures and videos."""

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from fer_model.errors import UnreadableMediaError
from fer_model.sources.files import check_remote, is_remote, masked, natural, to_path
from fer_model.sources.identity import UNKNOWN, Identity
from fer_model.sources.roots import check_permitted

_PICTURES = ".jpg .jpeg .jpe .jfif .png .webp .bmp .tif .tiff .gif .jp2 .heic .heif .avif"
_VIDEOS = ".mp4 .m4v .mov .mkv .avi .webm .mts .m2ts .ts .3gp .3g2 .wmv .asf .flv .mpg .mpeg .ogv"
PICTURE_SUFFIXES, VIDEO_SUFFIXES = frozenset(_PICTURES.split()), frozenset(_VIDEOS.split())

THUMBNAILS, RESOURCE_FORK = "@eaDir", "._"
"""Metadata of Synology's and Apple's file systems beside files: a folder, and a prefix of file names."""

Kind = Literal["image", "video"]


@dataclass(frozen=True, slots=True)
class Found:
    """One medium that was found, or an error.

    `uri` is an absolute path (or the remote URI as given). `kind` is None where it is unknown;
    `error`, if not None, is a sentence that begins with the name. `identity` is what is known of the file without
    opening it.
    """

    uri: str
    kind: Kind | None
    error: str | None = None
    identity: Identity = UNKNOWN


@dataclass
class PassedOver:
    """How many entries of folders were passed over: by suffix, hidden ones, and what file systems put beside files."""

    kinds: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    beside: int = 0

    def is_passed(self, name: str) -> bool:
        """Whether an entry of a folder is passed over by its name alone; counts it."""
        if name == THUMBNAILS or name.startswith(RESOURCE_FORK):
            self.beside += 1
        elif name.startswith("."):
            self.hidden += 1
        else:
            return False
        return True

    def count_kind(self, name: str) -> None:
        """Counts a file that is neither a picture nor a video."""
        self.kinds[os.path.splitext(name)[1].lower() or "without an ending"] += 1

    def sentence(self) -> str | None:
        """`12 files of other kinds: 8 .pdf, 4 .txt; 2 hidden; ...`; None where there was nothing."""
        parts = []
        if total := self.kinds.total():
            most_first = sorted(self.kinds.items(), key=lambda at: (-at[1], at[0]))
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in most_first)
            parts.append(f"{total:,} {'file' if total == 1 else 'files'} of other kinds: {kinds}")
        if self.hidden:
            parts.append(f"{self.hidden:,} hidden")
        if self.beside:
            parts.append(f"{self.beside:,} of the file system's own ({THUMBNAILS}, {RESOURCE_FORK}*)")
        return "; ".join(parts) or None


def find_media(
    paths: Sequence[str], roots: Sequence[str] = (), passed_over: PassedOver | None = None
) -> Iterator[Found]:
    """Pictures and videos below `paths`: files, folders, quoted globs (`**` too), `file://` URIs, `~`; objects,
    folders and globs `s3://bucket/...`; `http://` and `https://`, each of which is one file.

    Folders are walked in natural order (`2.jpg` before `10.jpg`); hidden entries, files of other kinds and what file
    systems put beside files are passed over, and counted in `passed_over`. A file that is reached twice is listed once.
    No file is opened. What does not lie below `roots` (see `check_permitted`) is not looked for.
    """
    seen: set[str] = set()
    passed = passed_over or PassedOver()
    for name in paths:
        if not name:
            # As of a variable of the shell that is not set; it would be the current folder.
            yield Found("''", None, "'': an empty path names no file")
            continue
        try:
            found = _find_remote(name, roots, seen, passed) if is_remote(name) else _find(name, roots, seen, passed)
            yield from map(_storable, found)
        except UnreadableMediaError as error:
            yield _storable(Found(masked(name) if is_remote(name) else name, None, str(error)))


def _storable(found: Found) -> Found:
    """No database can hold a name that is not valid UTF-8."""
    name = found.uri.encode(errors="backslashreplace").decode()
    if name == found.uri:
        return found
    name = masked(name)
    return Found(name, found.kind, f"{name}: the file's name is not valid UTF-8; rename it")


def _find(name: str, roots: Sequence[str], seen: set[str], passed: PassedOver) -> Iterator[Found]:
    path = to_path(name)
    check_permitted(path, roots)
    if os.path.isdir(path):
        found = _something(path, _walk(path, seen, passed), "contains no picture or video")
    elif os.path.lexists(path):
        found = _explicit(path, seen)
    elif glob.has_magic(path):
        found = _something(path, _expand(path, seen, passed), "matches no picture or video")
    else:
        found = iter((Found(path, None, f"{path}: does not exist"),))
    return (_permitted(each, roots) for each in found)


def _find_remote(uri: str, roots: Sequence[str], seen: set[str], passed: PassedOver) -> Iterator[Found]:
    check_remote(uri)
    if uri.startswith("s3:"):
        return _find_s3(uri, roots, seen, passed)
    check_permitted(uri, roots)
    # Opening it shows whether it exists.
    return _named(uri, kind_of(urlsplit(uri).path), UNKNOWN, seen)


def _find_s3(uri: str, roots: Sequence[str], seen: set[str], passed: PassedOver) -> Iterator[Found]:
    # Only S3 URIs need its libraries, which load slowly.
    from fer_model.sources.s3 import identity_of, objects_in

    magic = glob.has_magic(uri)
    check_permitted(uri, roots)
    key = uri.removeprefix("s3://").partition("/")[2]
    known = None if magic or not key or key.endswith("/") else identity_of(uri)
    if known is not None:
        return _named(uri, kind_of(key), known, seen)
    complaint = "matches no picture or video" if magic else "contains no picture or video"
    objects = (_object(each, known, seen) for each, known in objects_in(uri) if _is_medium(each, passed))
    return (_permitted(each, roots) for each in _something(uri, objects, complaint))


def _named(uri: str, kind: Kind | None, known: Identity, seen: set[str]) -> Iterator[Found]:
    if kind is None:
        yield Found(uri, None, f"{masked(uri)}: is neither a picture nor a video by its name")
    elif uri not in seen:
        seen.add(uri)
        yield Found(uri, kind, f"{masked(uri)}: the file is empty" if known.size == 0 else None, known)


def _permitted(found: Found, roots: Sequence[str]) -> Found:
    """`found`, or an error if it is outside the roots: links lead anywhere, and S3 keys may have any name."""
    try:
        check_permitted(found.uri, roots)
    except UnreadableMediaError as error:
        return Found(found.uri, found.kind, str(error))
    return found


def _is_medium(name: str, passed: PassedOver) -> bool:
    if kind_of(name) is None:
        passed.count_kind(name)
    return kind_of(name) is not None


def _object(uri: str, known: Identity, seen: set[str]) -> Found | None:
    return next(_named(uri, kind_of(uri), known, seen), None)


def _something(path: str, found: Iterable[Found | None], complaint: str) -> Iterator[Found]:
    """The media found, or the error; None for one that an earlier path already listed."""
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


def _expand(pattern: str, seen: set[str], passed: PassedOver) -> Iterator[Found | None]:
    for path in sorted(glob.iglob(pattern, recursive=True), key=natural):
        if THUMBNAILS in path.split(os.sep):
            continue
        if os.path.isdir(path):
            yield from _walk(path.rstrip(os.sep), seen, passed)
        elif _is_medium(path, passed):
            yield _file(path, os.path.realpath(path), seen)


def _walk(folder: str, seen: set[str], passed: PassedOver) -> Iterator[Found | None]:
    real = os.path.realpath(folder)
    if real in seen:  # listed before, or a link that leads back up
        yield None
        return
    seen.add(real)
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not passed.is_passed(entry.name)]
    except OSError as error:
        yield Found(folder, None, f"{folder}: cannot be opened ({error.strerror})")
        return
    for entry in sorted(entries, key=lambda entry: natural(entry.name)):
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():  # is_dir() fails on links in a circle
            yield from _walk(entry.path, seen, passed)
        elif _is_medium(entry.name, passed):
            # Only links need the costly resolution: everything else lies in its folder.
            key = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
            yield _file(entry.path, key, seen)


def _file(path: str, key: str, seen: set[str]) -> Found | None:
    if key in seen:
        return None
    seen.add(key)
    try:
        status = os.stat(path)
    except OSError as error:
        return Found(path, kind_of(path), f"{path}: cannot be opened ({error.strerror})")
    if not stat.S_ISREG(status.st_mode):
        return Found(path, kind_of(path), f"{path}: is not a regular file")
    known = Identity(status.st_size, status.st_mtime)
    return Found(path, kind_of(path), None if status.st_size else f"{path}: the file is empty", known)


def kind_of(name: str) -> Kind | None:
    """Picture or video, by the suffix alone, in upper or lower case; None for anything else."""
    suffix = os.path.splitext(name)[1].lower()
    return "image" if suffix in PICTURE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None
