"""PNG without chunks that do not affect the picture: texts and profiles of any size, and those with a bad checksum."""

import zlib
from io import BytesIO
from typing import IO

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_PICTURE = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_USED = frozenset((b"tRNS", b"eXIf"))
"""Transparency and orientation: ancillary, so a reader skips them on a bad checksum (PNG 3, section 13.1)."""

_LONGEST = 1 << 20
"""The longest ancillary chunk that is used, in bytes."""


def plain_png(file: IO[bytes]) -> IO[bytes]:
    """The chunks that make up the picture, unchanged; a damaged PNG stays damaged. Reads from the file's start."""
    pieces = [file.read(len(SIGNATURE))]
    while len(header := file.read(8)) == 8:
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind in _PICTURE or (kind in _USED and length <= _LONGEST):
            body = file.read(length + 4)
            if kind in _PICTURE or zlib.crc32(kind + body[:-4]) == int.from_bytes(body[-4:], "big"):
                pieces += [header, body]
        elif kind[:1].isupper() or not kind.isalpha():
            pieces += [header, file.read()]
        else:
            file.seek(length + 4, 1)
        if kind == b"IEND":
            break
    return BytesIO(b"".join(pieces))
