"""Videos whose timestamps are wrong, and pictures that no library writes: made from right ones, byte by byte."""

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKET = 188
VIDEO_PID = 0x100
"""FFmpeg's number of the first stream in a transport stream."""

Stamp = Callable[[int, int], int | None]
"""Gets the number of a picture in the file and its timestamp; gives the new one, None for none at all."""


def packets(data: bytearray) -> Iterator[tuple[int, int, int]]:
    """Of each packet of a transport stream its place, its two bytes of the stream's number, and its contents' place."""
    for start in range(0, len(data), PACKET):
        pid = int.from_bytes(data[start + 1 : start + 3], "big")
        yield start, pid, start + 4 + (1 + data[start + 4] if data[start + 3] & 0x20 else 0)


def mpeg_crc(data: bytes) -> int:
    """The checksum of a transport stream's tables (ISO/IEC 13818-1, annex A)."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def restamped(path: Path, stamp: Stamp) -> Path:
    """A transport stream with other timestamps of its pictures (ISO/IEC 13818-1, 2.4.3.6), in 90,000ths of a second."""
    data, number = bytearray(path.read_bytes()), 0
    for _, pid, pes in packets(data):
        if pid & 0x1FFF != VIDEO_PID or not pid & 0x4000:  # only where a picture begins
            continue
        flags = data[pes + 7] >> 6
        if flags:
            new = [stamp(number, _stamp(data, pes + 9 + 5 * n)) for n in range(1 + (flags == 3))]
            _restamp(data, pes, new)
            number += 1
    path.write_bytes(data)
    return path


def _stamp(data: bytearray, at: int) -> int:
    a, b, c, d, e = data[at : at + 5]
    return (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1


def _restamp(data: bytearray, pes: int, stamps: Sequence[int | None]) -> None:
    if stamps[0] is None:
        data[pes + 7] &= 0x3F
        data[pes + 9 : pes + 9 + 5 * len(stamps)] = b"\xff" * 5 * len(stamps)
        return
    for n, value in enumerate(stamps):
        assert value is not None
        low, at = value % (1 << 33), pes + 9 + 5 * n
        head = data[at] & 0xF0 | (low >> 30) << 1 | 1
        data[at : at + 5] = bytes(
            (head, low >> 22 & 255, (low >> 15 & 127) << 1 | 1, low >> 7 & 255, (low & 127) << 1 | 1)
        )


def with_steps(path: Path, steps: Sequence[int]) -> Path:
    """An mp4 with other distances between its pictures, in its own ticks; it has a table with one line for each."""
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 8
    (lines,) = struct.unpack(">I", data[at : at + 4])
    assert lines == len(steps), lines
    data[at + 4 : at + 4 + 8 * lines] = b"".join(struct.pack(">II", 1, step) for step in steps)
    path.write_bytes(data)
    return path


def tiff(values: NDArray[np.generic], photometric: int, *, separate: bool = False, bits: int | None = None) -> bytes:
    """An uncompressed little-endian TIFF of (height, width) or (height, width, samples) values of any type.

    `photometric` is 0 for white as zero, 1 for black as zero, 2 for RGB. `separate`: each sample in a plane of its own.
    """
    height, width, samples = values.shape if values.ndim == 3 else (*values.shape, 1)
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    ordered = np.moveaxis(values.reshape(height, width, samples), 2, 0) if separate else values
    data = ordered.astype(values.dtype.newbyteorder("<")).tobytes()
    planes = samples if separate else 1
    size = len(data) // planes
    short, long = 3, 4
    tags: list[tuple[int, int, list[int]]] = [
        (256, long, [width]),
        (257, long, [height]),
        (258, short, [bits or values.dtype.itemsize * 8] * samples),
        (259, short, [1]),
        (262, short, [photometric]),
        (273, long, [8 + n * size for n in range(planes)]),
        (277, short, [samples]),
        (278, long, [height]),
        (279, long, [size] * planes),
        (284, short, [2 if separate else 1]),
        (339, short, [kind] * samples),
    ]
    entries, beyond = b"", b""
    for tag, form, numbers in tags:
        raw = struct.pack(f"<{len(numbers)}{'H' if form == short else 'I'}", *numbers)
        if len(raw) > 4:
            beyond, raw = beyond + raw + b"\0" * (len(raw) % 2), struct.pack("<I", 8 + len(data) + len(beyond))
        entries += struct.pack("<HHI", tag, form, len(numbers)) + raw.ljust(4, b"\0")
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data) + len(beyond)) + data + beyond + directory
