"""Boxes of mp4 and mov files."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BufferedReader

from fer_model.sources.remote import RemoteFile

BOXES = (b"ftyp", b"mdat", b"wide", b"free", b"skip", b"moov")
"""Types of the first box of an mp4 or mov file."""

MOST_BOXES = 1000
"""Boxes of a file that are looked at; each may take a request."""


def hollow(file: BufferedReader, check: Callable[[], None] = lambda: None) -> BufferedReader | None:
    """A remote mp4 with zeros in place of pictures and sound, which are not transferred; None for other files.

    An mp4 stores the times of its pictures in boxes apart from them. Reading the times of all packets thus transfers
    these boxes only. `check` is called before each box.
    """
    if not isinstance(file.raw, RemoteFile):
        return None
    size = file.raw.size
    full = _payloads(file, size, check)
    if not full:
        return None

    def fetch(start: int, end: int) -> bytes:
        data, position = bytearray(), start
        for begin, stop in full:
            if stop > position and begin < end:
                data += _real(file, position, max(begin, position))
                position = max(begin, position)
                data += bytes(min(stop, end) - position)
                position = min(stop, end)
        return bytes(data + _real(file, position, end))

    return BufferedReader(RemoteFile(file.name, size, fetch))


def _real(file: BufferedReader, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _payloads(file: BufferedReader, size: int, check: Callable[[], None]) -> list[tuple[int, int]]:
    """Start and end of the contents of each `mdat` box; none where the file has too many boxes, or other kinds."""
    position, found = 0, list[tuple[int, int]]()
    for _ in range(MOST_BOXES):
        if position + 16 > size:
            return found
        check()
        header = _real(file, position, position + 16)
        length, kind, long = struct.unpack(">I4sQ", header)
        if position == 0 and kind not in BOXES:
            return []
        start = position + (16 if length == 1 else 8)
        end = position + long if length == 1 else position + length if length else size
        # In a fragmented file (moof) the times lie between the pictures.
        if end < start or kind == b"moof":
            return found
        if kind == b"mdat":
            found.append((start, min(end, size)))
        position = end
    return []


def recordings_in(file: BufferedReader) -> int:
    """The number of recordings that a local mp4 was joined from, which is that of its indices (`moov`); 0 otherwise.

    FFmpeg passes over all but the first.
    """
    if isinstance(file.raw, RemoteFile):
        return 0
    size, position, count = file.seek(0, 2), 0, 0
    while position + 16 <= size:
        length, kind, long = struct.unpack(">I4sQ", _real(file, position, position + 16))
        if position == 0 and kind not in BOXES:
            return 0
        count += kind == b"moov"
        length = long if length == 1 else length or size - position
        if length < 8:
            break
        position += length
    return count
