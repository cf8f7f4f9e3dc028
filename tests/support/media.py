"""Folders of media for jobs that take a while."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from fer_model.samples import PHOTOGRAPHS, write_clip


def write_media(folder: Path, seconds: float, pictures: int) -> Path:
    """Two clips of `seconds` each and some pictures, from the two photographs of the samples."""
    photographs = [PHOTOGRAPHS / name for name in ("zidane.jpg", "bus.jpg")]
    folder.mkdir(parents=True, exist_ok=True)
    write_clip(folder / "there.mp4", photographs, seconds / 2)
    write_clip(folder / "back.mp4", photographs[::-1], seconds / 2)
    images = [np.asarray(cv2.imread(str(path)), np.uint8) for path in photographs]
    for number in range(pictures):
        image = images[number % 2]
        # Each is a little larger than the one before, so that no two give the same boxes.
        scale = 0.4 + 0.4 * number / pictures
        cv2.imwrite(str(folder / f"{number:04}.jpg"), cv2.resize(image, None, fx=scale, fy=scale))
    return folder


def huge_png(path: Path, side: int) -> Path:
    """A white PNG of side x side pixels in a small file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes((side // 8 + 1) * side))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path
