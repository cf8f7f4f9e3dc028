"""Boxes of mp4 and mov files."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedReader

from fer_model.sources.remote import RemoteFile

BOXES = (b"ftyp", b"mdat", b"wide", b"free", b"skip", b"moov")
"""Types of the first box of an mp4 or mov file."""


def hollow(file: BufferedReader) -> BufferedReader | None:
    """A remote mp4 with zeros in place of pictures and sound, which are not transferred; None for other files.

    An mp4 stores the times of its pictures in boxes apart from them. Reading the times of all packets thus transfers
    these boxes only.
    """
    if not isinstance(file.raw, RemoteFile):
        return None
    size = file.raw.size
    full = list(_payloads(file, size))
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


def _payloads(file: BufferedReader, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of the contents of each `mdat` box."""
    position = 0
    while position + 16 <= size:
        header = _real(file, position, position + 16)
        length, kind, long = struct.unpack(">I4sQ", header)
        if position == 0 and kind not in BOXES:
            return
        start = position + (16 if length == 1 else 8)
        end = position + long if length == 1 else position + length if length else size
        if end < start:
            return
        if kind == b"moof":  # in a fragmented file the times lie between the pictures
            return
        if kind == b"mdat":
            yield start, min(end, size)
        position = end
