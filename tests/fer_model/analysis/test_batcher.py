"""Batches of what several threads submit: order, fairness, backpressure, errors, closing."""

import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from queue import Full

import pytest

from fer_model.analysis.batcher import WAITING, Batcher
from tests.support.threads import no_thread_to_spare

LONG_S = 60.0
"""A timeout that no passing test reaches, in seconds."""


class Device:
    """Doubles numbers, keeps the batches, and works only while `go_on` is set; a negative number breaks it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.at_work, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def launch(self, batch: Sequence[int]) -> Callable[[], list[int]]:
        self.batches.append(list(batch))

        def finish() -> list[int]:
            self.at_work.set()
            assert self.go_on.wait(LONG_S)
            if min(batch) < 0:
                raise ValueError(f"{min(batch)} is broken")
            return [2 * number for number in batch]

        return finish


def busy(device: Device, batcher: Batcher[int, int]) -> Future[int]:
    """Keeps the device busy with a 0 until `go_on` is set."""
    device.go_on.clear()
    future = batcher.submit(0, "first")
    assert device.at_work.wait(LONG_S)
    return future


def test_an_item_alone_is_not_kept_waiting() -> None:
    """Each answer comes before the next item is offered."""
    device = Device()
    batcher = Batcher(device.launch, size=16)
    assert [batcher.submit(number, "a").result(LONG_S) for number in range(5)] == [0, 2, 4, 6, 8]
    assert device.batches == [[0], [1], [2], [3], [4]]
    batcher.close()


def test_what_is_ready_when_the_device_is_free_is_a_batch_of_at_most_size() -> None:
    device = Device()
    batcher = Batcher(device.launch, size=4)
    first = busy(device, batcher)
    futures = [batcher.submit(number, number % 3) for number in range(1, 10)]
    device.go_on.set()
    assert [first.result(LONG_S), *(future.result(LONG_S) for future in futures)] == [2 * n for n in range(10)]
    assert [len(batch) for batch in device.batches] == [1, 4, 4, 1]
    batcher.close()


def test_items_that_may_wait_fill_a_batch() -> None:
    device = Device()
    batcher = Batcher(device.launch, size=3)
    futures = [batcher.submit(number, "a", wait_s=LONG_S) for number in (1, 2)]
    assert not device.batches
    futures.append(batcher.submit(3, "b", wait_s=LONG_S))
    assert [future.result(LONG_S) for future in futures] == [2, 4, 6]
    assert sorted(device.batches[0]) == [1, 2, 3] and len(device.batches) == 1
    batcher.close()


def test_a_batch_that_does_not_fill_starts_when_its_first_item_has_waited_enough() -> None:
    device = Device()
    batcher = Batcher(device.launch, size=3)
    assert batcher.submit(1, "a", wait_s=0.02).result(LONG_S) == 2
    batcher.close()


def test_an_item_that_may_not_wait_takes_the_others_along() -> None:
    device = Device()
    batcher = Batcher(device.launch, size=8)
    patient = batcher.submit(1, "a", wait_s=LONG_S)
    assert batcher.submit(2, "b").result(LONG_S) == 4
    assert patient.result(LONG_S) == 2
    assert device.batches == [[1, 2]]
    batcher.close()


def test_callers_take_turns() -> None:
    """The greedy caller is first and has more items; the others wait for at most one of them."""
    device = Device()
    batcher = Batcher(device.launch, size=2)
    busy(device, batcher)
    futures = [batcher.submit(number, "greedy") for number in (10, 11, 12, 13)]
    futures += [batcher.submit(20, "a"), batcher.submit(30, "b"), batcher.submit(21, "a")]
    device.go_on.set()
    wait(futures, LONG_S)
    assert device.batches == [[0], [10, 20], [30, 11], [21, 12], [13]]
    batcher.close()


def test_a_caller_that_never_stops_does_not_starve_another() -> None:
    """The greedy one's queue is full whenever the device is free, and the other's item is the next but one."""
    device = Device()
    batcher = Batcher(device.launch, size=1)
    for _ in range(5):
        busy(device, batcher)
        greedy = [batcher.submit(1, "greedy") for _ in range(WAITING)]
        modest = batcher.submit(2, "modest")
        device.go_on.set()
        assert modest.result(LONG_S) == 4
        wait(greedy, LONG_S)
        device.at_work.clear()
    assert device.batches == [[0], [1], [2], [1], [1], [1]] * 5
    batcher.close()


def test_a_full_queue_blocks_its_own_caller_alone() -> None:
    device = Device()
    batcher = Batcher(device.launch, size=1)
    first = busy(device, batcher)
    kept = [batcher.submit(number, "a") for number in range(WAITING)]
    with pytest.raises(Full):
        batcher.submit(99, "a", timeout=0)
    with pytest.raises(Full):
        batcher.submit(99, "a", timeout=0.01)
    other = batcher.submit(50, "b", timeout=0)
    entered: list[Future[int]] = []
    blocked = threading.Thread(target=lambda: entered.append(batcher.submit(9, "a")))
    blocked.start()
    assert not entered
    device.go_on.set()
    blocked.join(LONG_S)
    assert [future.result(LONG_S) for future in [first, *kept, other, *entered]] == [0, 0, 2, 4, 6, 100, 18]
    assert [99] not in device.batches
    batcher.close()


def test_what_has_not_begun_can_be_cancelled_and_what_has_begun_cannot() -> None:
    device = Device()
    batcher = Batcher(device.launch, size=4)
    begun = busy(device, batcher)
    unwanted, wanted = batcher.submit(1, "a"), batcher.submit(2, "a")
    assert not begun.cancel()
    assert unwanted.cancel()
    device.go_on.set()
    assert wanted.result(LONG_S) == 4
    assert device.batches == [[0], [2]]
    batcher.close()


def test_a_batch_of_cancelled_items_is_not_started() -> None:
    device = Device()
    batcher = Batcher(device.launch, size=4)
    busy(device, batcher)
    assert batcher.submit(1, "a").cancel()
    device.go_on.set()
    assert batcher.submit(2, "a").result(LONG_S) == 4
    assert [1] not in device.batches
    batcher.close()


def test_an_error_goes_to_the_caller_whose_item_it_was() -> None:
    device = Device()
    batcher = Batcher(device.launch, size=4)
    busy(device, batcher)
    futures = [batcher.submit(number, number) for number in (1, -7, 3)]
    device.go_on.set()
    assert futures[0].result(LONG_S) == 2 and futures[2].result(LONG_S) == 6
    with pytest.raises(ValueError, match="-7 is broken"):
        futures[1].result(LONG_S)
    assert device.batches == [[0], [1, -7, 3], [1], [-7], [3]], "the batch, then each item alone"
    assert batcher.submit(5, "a").result(LONG_S) == 10
    batcher.close()


def test_an_error_at_the_start_of_a_batch_is_delivered_too() -> None:
    def refuse(batch: Sequence[int]) -> Callable[[], list[int]]:
        if -1 in batch:
            raise TypeError("not a picture")
        return lambda: list(batch)

    batcher = Batcher(refuse, size=4)
    futures = [batcher.submit(number, number, wait_s=LONG_S) for number in (1, -1, 2, 3)]
    with pytest.raises(TypeError, match="not a picture"):
        futures[1].result(LONG_S)
    assert [futures[n].result(LONG_S) for n in (0, 2, 3)] == [1, 2, 3]
    batcher.close()


def test_as_many_batches_are_in_flight_as_the_device_takes() -> None:
    events: list[tuple[str, int]] = []
    together = threading.Barrier(2)

    def launch(batch: Sequence[int]) -> Callable[[], list[int]]:
        events.append(("start", batch[0]))

        def finish() -> list[int]:
            events.append(("end", batch[0]))
            if batch[0] == 0:
                together.wait(LONG_S)
                together.wait(LONG_S)
            return list(batch)

        return finish

    batcher = Batcher(launch, size=1, in_flight=lambda: 2)
    futures = [batcher.submit(0, "a")]
    together.wait(LONG_S)
    futures += [batcher.submit(number, "a") for number in (1, 2, 3)]
    together.wait(LONG_S)
    assert [future.result(LONG_S) for future in futures] == [0, 1, 2, 3]
    assert events[2:] == [("start", 1), ("start", 2), ("end", 1), ("start", 3), ("end", 2), ("end", 3)]
    batcher.close()


def test_closing_cancels_what_has_not_begun_and_waits_for_what_has() -> None:
    device = Device()
    batcher = Batcher(device.launch, size=1)
    begun = busy(device, batcher)
    waiting = [batcher.submit(number, "a") for number in range(WAITING)]
    refused = threading.Event()

    def blocked() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            batcher.submit(9, "a")
        refused.set()

    caller = threading.Thread(target=blocked)
    caller.start()
    closing = threading.Thread(target=batcher.close)
    closing.start()
    for future in waiting:
        with pytest.raises(CancelledError):
            future.result(LONG_S)
    assert refused.wait(LONG_S), "a caller that waits for room gets the error"
    assert not begun.done()
    device.go_on.set()
    closing.join(LONG_S)
    assert begun.result(0) == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "batcher"]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(1, "a")
    batcher.close()


def test_one_that_is_let_go_of_leaves_neither_thread_nor_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_model.analysis.batcher.IDLE_S", 0.2)
    batcher: Batcher[int, int] = Batcher(lambda items: lambda: items, 4)
    assert batcher.submit(1, "a").result(9) == 1
    thread = batcher._thread
    assert thread is not None
    thread.join(9)
    assert not thread.is_alive() and batcher.submit(2, "a").result(9) == 2, "the next item starts another"
    kept, thread = weakref.ref(batcher), batcher._thread
    del batcher
    assert thread is not None
    thread.join(9)
    del thread
    gc.collect()
    assert kept() is None


def test_one_that_found_no_thread_works_once_there_is_one() -> None:
    batcher = Batcher(Device().launch, size=1)
    with no_thread_to_spare(), pytest.raises(RuntimeError, match="can't start new thread"):
        batcher.submit(1, "a")
    assert batcher.submit(2, "a").result(5) == 4
    batcher.close()


def test_one_that_was_never_used_has_no_thread() -> None:
    batcher = Batcher(Device().launch, size=1)
    assert not [thread for thread in threading.enumerate() if thread.name == "batcher"]
    batcher.close()
