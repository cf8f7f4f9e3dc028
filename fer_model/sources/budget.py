"""A budget of bytes that threads share: how much is decoded at once."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """Bytes that may be in use at a time. Work that needs more than all of them is done alone."""

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._changed = Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Waits until so many bytes are free, and has them for the length of the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + size <= self._size)
            self._used += size
        try:
            yield
        finally:
            if size > self._size / 2:
                _trim()
            with self._changed:
                self._used -= size
                self._changed.notify_all()


def _trim() -> None:
    """Gives freed memory back to the system: glibc keeps it, for each thread apart."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
