"""A stage of a pipeline in a thread of its own, one item ahead."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """The items of a generator, prefetched: a thread makes the next item while the caller uses the present one.

    The thread starts on an item when the one before it is taken, so at most one is buffered. It closes the generator
    when it ends. An exception of the generator is raised in its place among the items.
    """

    def __init__(self, items: Generator[Item], name: str) -> None:
        self._made: SimpleQueue[tuple[Item] | BaseException | None] = SimpleQueue()
        self._taken = threading.Semaphore()
        self.is_stopped = False
        # A daemon thread: a source that hangs must not block the process's exit.
        self._thread = threading.Thread(target=self._make, args=(items,), name=name, daemon=True)
        self._thread.start()

    def _make(self, items: Generator[Item]) -> None:
        try:
            with closing(items):
                while self._taken.acquire() and not self.is_stopped:
                    # Not kept in a variable: that would keep the item's pictures in memory while the next is made.
                    self._made.put((next(items),))
        except StopIteration:
            self._made.put(None)
        except BaseException as error:
            self._made.put(error)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        made = self._made.get()
        if isinstance(made, tuple):
            self._taken.release()
            return made[0]
        self._made.put(None)
        if made is None:
            raise StopIteration
        raise made

    def stop(self) -> None:
        """Ends the items, also for a thread that waits for the next. Does not wait itself."""
        self.is_stopped = True
        self._made.put(None)
        self._taken.release()

    def join(self, timeout_s: float | None = None) -> None:
        """Waits at most `timeout_s` seconds until the thread has closed the generator."""
        self._thread.join(timeout_s)
