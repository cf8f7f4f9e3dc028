"""Batches on a GPU with too little memory; torch's exception is raised without a GPU."""

import numpy as np
import pytest
import torch

from fer_model.engines.memory import halving


class Gpu:
    """A GPU whose memory fits `room` items."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def work(self, items: "np.ndarray") -> "np.ndarray":
        self.sizes.append(len(items))
        if len(items) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return items * 2


@pytest.mark.parametrize("room", [1, 2, 3, 7, 16, 99])
def test_everything_is_done_in_order_whatever_there_is_room_for(room: int) -> None:
    items = np.arange(17)
    np.testing.assert_array_equal(np.concatenate(halving(Gpu(room).work)(items)), items * 2)


def test_the_next_batch_begins_with_what_there_was_room_for() -> None:
    gpu = Gpu(5)
    work = halving(gpu.work)
    work(np.arange(16))
    assert gpu.sizes == [16, 8, 4, 4, 4, 4]
    gpu.sizes.clear()
    work(np.arange(16))
    assert gpu.sizes == [4, 4, 4, 4]


def test_one_that_is_too_much_alone_is_not_hidden() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        halving(Gpu(0).work)(np.arange(3))


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def broken(items: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="assert"):
        halving(broken)(np.arange(3))
