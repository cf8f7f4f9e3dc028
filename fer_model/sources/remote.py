"""A remote file, read in blocks."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from tenacity import Retrying, retry_if_exception_type, wait_exponential

from fer_model.errors import TransientMediaError

if TYPE_CHECKING:
    from typing_extensions import Buffer

BLOCK = 2**18
"""Bytes of the first request."""

AHEAD = 8
"""The most blocks per request in sequential reading: an hour of video takes few requests."""

BLOCKS = 64
"""Cached blocks: sound and pictures may be far apart in a file."""

ATTEMPTS = 4
WAIT_S = 0.5
"""Pause in seconds before the second attempt; it doubles with each."""

RETRIES_S = 45.0
"""No attempt begins later than this after the first: each may take a whole timeout."""

TIMEOUT_S = (10, 30)
"""Timeouts in seconds: to connect, and between two packets of the answer."""

TOO_SLOW = "the server sends too slowly"

Result = TypeVar("Result")


class AgainError(Exception):
    """A transient error: the next attempt may succeed."""


def retried(name: str, call: Callable[[], Result], until: float = inf) -> Result:
    """The result of `call`, after at most `ATTEMPTS`, of which none begins after `until` on the monotonic clock.

    Raises:
        TransientMediaError: every attempt ended with an `AgainError`; begins with `name`.
    """
    last = min(until, monotonic() + RETRIES_S)
    attempts = Retrying(
        stop=lambda state: state.attempt_number >= ATTEMPTS or monotonic() > last,
        wait=wait_exponential(multiplier=WAIT_S),
        retry=retry_if_exception_type(AgainError),
        reraise=True,
    )
    try:
        return attempts(call)
    except AgainError as error:
        # The cause may quote the whole URI, and signatures must not get into logs.
        raise TransientMediaError(f"{name}: {error}") from None


class RemoteFile(io.RawIOBase):
    """A seekable file whose bytes come from `fetch(start, end)`, a block at a time.

    `name` is its masked URI. `parts` is false where the whole file had to be fetched. `etag` is what the server calls
    this content, if it does. No block is requested after `until`. `release` is called on closing. Reading raises
    `UnreadableMediaError`, or `TransientMediaError` after several attempts.
    """

    def __init__(
        self,
        name: str,
        size: int,
        fetch: Callable[[int, int], bytes],
        *,
        parts: bool = True,
        etag: str | None = None,
        until: float = inf,
        release: Callable[[], object] = lambda: None,
    ) -> None:
        self.name, self.size, self.parts, self.etag = name, size, parts, etag
        self._fetch, self._release, self._until = fetch, release, until
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._ahead, self._next = 1, 0

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            # Sequential reading: the next request takes more blocks.
            self._ahead = min(2 * self._ahead, AHEAD) if number and number == self._next else 1
            self._next = number + self._ahead
            start, end = number * BLOCK, min(self._next * BLOCK, self.size)
            if monotonic() > self._until:
                raise TransientMediaError(f"{self.name}: {TOO_SLOW}")
            data = retried(self.name, lambda: self._fetch(start, end), self._until)
            for offset in range(0, len(data), BLOCK):
                self._blocks[(start + offset) // BLOCK] = data[offset : offset + BLOCK]
        self._blocks.move_to_end(number)
        while len(self._blocks) > BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]

    def readinto(self, buffer: Buffer) -> int:
        if self._position >= self.size:
            return 0
        view = memoryview(buffer)
        number, offset = divmod(self._position, BLOCK)
        piece = self._block(number)[offset : offset + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence])
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._blocks.clear()
            self._release()
        super().close()
