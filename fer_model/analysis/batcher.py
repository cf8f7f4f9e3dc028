"""Work of many callers in batches, on a device that one thread owns."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Full
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Launch = Callable[[Sequence[Item]], Callable[[], Sequence[Result]]]
"""Starts a batch without waiting. The function that it returns waits and gives one result per item, in order."""

WAITING = 4
"""Queue length of one caller, in items."""

IDLE_S = 30.0
"""The thread of a batcher without work ends after it: a waiting thread would keep a batcher that was let go of."""


@dataclass(slots=True)
class _Entry(Generic[Item, Result]):
    item: Item
    future: Future[Result]
    due: float


class Batcher(Generic[Item, Result]):
    """Batches of items that several threads submit. One thread, started by the first item, runs them.
    It ends when it is idle, and the next item starts another.

    A batch takes at most `size` waiting items, from the callers in turn (round robin). It starts when it is full or
    when its first item has waited long enough. At most `in_flight` batches are in flight.
    """

    def __init__(self, launch: Launch[Item, Result], size: int, in_flight: Callable[[], int] = lambda: 1) -> None:
        self._launch, self._size, self._in_flight = launch, size, in_flight
        self._changed = threading.Condition()
        # Callers in the order of their turns; each has at least one entry.
        self._queues: dict[Hashable, deque[_Entry[Item, Result]]] = {}
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(
        self, item: Item, caller: Hashable, *, wait_s: float = 0.0, timeout: float | None = None
    ) -> Future[Result]:
        """Puts an item into the caller's queue. Its future can be cancelled until its batch starts.

        The item waits at most `wait_s` seconds for others to join its batch. While `WAITING` items of this caller wait,
        the call blocks (backpressure), at most `timeout` seconds; with 0 it never blocks.

        Raises:
            queue.Full: the queue had no room in time.
            RuntimeError: the batcher is closed, or was closed while this waited.
        """
        future: Future[Result] = Future()
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_closed or self._has_room(caller), timeout):
                raise Full
            if self._is_closed:
                raise RuntimeError("closed: nothing can be submitted any more")
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="batcher", daemon=True)
                thread.start()
                self._thread = thread
            entry = _Entry(item, future, time.monotonic() + wait_s)
            self._queues.setdefault(caller, deque()).append(entry)
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """Cancels the items that have not begun and waits for the others."""
        with self._changed:
            self._is_closed = True
            entries = [entry for queue in self._queues.values() for entry in queue]
            self._queues.clear()
            thread = self._thread
            self._changed.notify_all()
        for entry in entries:
            entry.future.cancel()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _has_room(self, caller: Hashable) -> bool:
        return len(self._queues.get(caller, ())) < WAITING

    def _run(self) -> None:
        flying: deque[_Batch[Item, Result]] = deque()
        while True:
            entries = self._next(wait=not flying)
            if entries:
                flying.append(_Batch(self._launch, entries))
            elif not flying:
                return
            if not entries or len(flying) >= self._in_flight():
                flying.popleft().finish()

    def _next(self, *, wait: bool) -> list[_Entry[Item, Result]]:
        """The entries of the next batch, begun; none if none is due, or, where it waits, if the batcher is
        closed or idle."""
        with self._changed:
            while not (self._is_closed and not self._queues):
                delay = self._delay()
                if delay is not None and delay <= 0:
                    # Cancelled entries are left out here.
                    if batch := [entry for entry in self._take() if entry.future.set_running_or_notify_cancel()]:
                        return batch
                elif wait:
                    is_idle = not self._changed.wait(IDLE_S if delay is None else delay)
                    if is_idle and delay is None and not self._queues:
                        self._thread = None
                        break
                else:
                    break
        return []

    def _delay(self) -> float | None:
        """Seconds until the next batch is due; None while nothing waits."""
        if not self._queues:
            return None
        if sum(map(len, self._queues.values())) >= self._size:
            return 0.0
        return min(entry.due for queue in self._queues.values() for entry in queue) - time.monotonic()

    def _take(self) -> list[_Entry[Item, Result]]:
        batch: list[_Entry[Item, Result]] = []
        while self._queues and len(batch) < self._size:
            caller = next(iter(self._queues))
            queue = self._queues.pop(caller)
            batch.append(queue.popleft())
            if queue:
                self._queues[caller] = queue  # at the end of the turns
        self._changed.notify_all()
        return batch


class _Batch(Generic[Item, Result]):
    """A batch in flight. If it fails, each item is retried alone, so that only the faulty items fail."""

    def __init__(self, launch: Launch[Item, Result], entries: Sequence[_Entry[Item, Result]]) -> None:
        self._launch, self._entries = launch, entries
        self._error: Exception | None = None
        try:
            self._finish = launch([entry.item for entry in entries])
        except Exception as error:
            self._error = error

    def finish(self) -> None:
        """Waits, and gives every future its result or its error."""
        try:
            if self._error is not None:
                raise self._error
            results = list(zip(self._entries, self._finish(), strict=True))
        except Exception as error:
            self._fail(error)
        else:
            for entry, result in results:
                entry.future.set_result(result)

    def _fail(self, error: Exception) -> None:
        if len(self._entries) == 1:
            self._entries[0].future.set_exception(error)
            return
        for entry in self._entries:
            _Batch(self._launch, [entry]).finish()
