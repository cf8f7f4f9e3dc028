"""A stage of a pipeline in a thread of its own, one item ahead."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """The items of a generator, each made in a thread of its own while the one before it is used.

    The thread begins to make an item when the one before it is taken, so that one at most waits. It closes the
    generator when it ends. An exception of the generator is raised in its place among the items.
    """

    def __init__(self, items: Generator[Item], name: str) -> None:
        self._made: SimpleQueue[tuple[Item] | BaseException | None] = SimpleQueue()
        self._taken = threading.Semaphore()
        self.is_stopped = False
        # A daemon: a source that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._make, args=(items,), name=name, daemon=True)
        self._thread.start()

    def _make(self, items: Generator[Item]) -> None:
        try:
            with closing(items):
                while self._taken.acquire() and not self.is_stopped:
                    # Not kept in a variable: the item's pictures would stay in memory while the next is made.
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
        """Waits until the thread has closed the generator, at most for so many seconds."""
        self._thread.join(timeout_s)
