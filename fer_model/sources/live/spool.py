"""Undecoded pictures that wait for the decoder: of `everything` all, on disk, up to a limit.

The files have no names, so that pictures of people do not outlive the process, however it ends.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections import deque
from collections.abc import Callable
from math import inf
from pathlib import Path

from fer_model.sources.live.packets import Coded, Format

LIMIT = 2**30
"""Bytes that a stream may keep waiting."""

PART = 2**23
"""Bytes after which the next keyframe begins another file: files are dropped whole, the oldest first."""

_RECORD = struct.Struct("<q??HI")
"""Time in ms, keyframe, whether its clock is RTCP's, number of its format, bytes."""


class _Part:
    """A file of pictures, written at its end and read from its beginning."""

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by `close`
        self._formats: list[Format] = []
        self._read = self.size = self.waiting = 0

    def write(self, coded: Coded) -> None:
        if coded.format not in self._formats:
            self._formats.append(coded.format)
        number = self._formats.index(coded.format)
        head = _RECORD.pack(coded.at_ms, coded.key, coded.clock == "rtcp", number, len(coded.data))
        record = memoryview(head + coded.data)
        written = 0
        while written < len(record):
            written += os.pwrite(self._file.fileno(), record[written:], self.size + written)
        self.size, self.waiting = self.size + written, self.waiting + 1

    def read(self) -> Coded:
        head = os.pread(self._file.fileno(), _RECORD.size, self._read)
        at_ms, key, by_rtcp, number, length = _RECORD.unpack(head)
        data = os.pread(self._file.fileno(), length, self._read + _RECORD.size)
        self._read += _RECORD.size + length
        self.waiting -= 1
        return Coded(data, key, at_ms, 0.0, "rtcp" if by_rtcp else "arrival", self._formats[number])

    def close(self) -> int:
        """How many pictures are lost by it."""
        self._file.close()
        return self.waiting


class Spool:
    """Keeps all pictures in order. Beyond `limit` bytes, and on a full disk, it drops the oldest groups of pictures;
    `dropped` is called with their number."""

    def __init__(self, folder: Path | None, dropped: Callable[[int], None], limit: int = LIMIT) -> None:
        self._folder, self._dropped, self._limit = folder, dropped, limit
        self._parts: deque[_Part] = deque()
        self._skipping = False

    def put(self, coded: Coded) -> None:
        self._skipping = self._skipping and not coded.key
        if self._skipping or not self._written(coded):
            self._skipping = True
            self._dropped(1)
        while sum(part.size for part in self._parts) > self._limit:
            self._skipping = self._skipping or len(self._parts) == 1
            self._dropped(self._parts.popleft().close())

    def get(self, now: float) -> Coded | None:
        while len(self._parts) > 1 and not self._parts[0].waiting:
            self._parts.popleft().close()
        return self._parts[0].read() if not self.empty() else None

    def due(self) -> float:
        return inf  # what waits is due at once, as soon as the frames before it are taken

    def empty(self) -> bool:
        return not any(part.waiting for part in self._parts)

    def close(self) -> None:
        while self._parts:
            self._parts.popleft().close()

    def _written(self, coded: Coded) -> bool:
        """Whether it is on disk; on a full disk the oldest are dropped for it."""
        for _ in range(len(self._parts) + 1):
            try:
                self._part_for(coded).write(coded)
                return True
            except OSError:
                if self._parts:
                    self._dropped(self._parts.popleft().close())
                if not (self._parts or coded.key):  # it would depend on what was dropped
                    return False
        return False

    def _part_for(self, coded: Coded) -> _Part:
        last = self._parts[-1] if self._parts else None
        full = last is not None and last.size >= min(PART, self._limit // 8)
        if last is None or (full and (coded.key or not last.waiting)):
            self._parts.append(_Part(self._folder))
        return self._parts[-1]
