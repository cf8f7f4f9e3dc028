"""The programs of `fer-batch up`."""

from workers.queue.standing_stack import worker_programs
from workers.settings import Settings


def test_streams_get_a_worker_of_their_own_after_the_others() -> None:
    programs = worker_programs(Settings(queues="batch,train", metrics_port=9000), 2, streams=True)
    assert [each.name for each in programs] == ["worker 1", "worker 2", "streams"]
    assert [each.environment["FER_QUEUES"] for each in programs] == ["batch,train", "batch,train", "stream"]
    assert [each.environment["FER_METRICS_PORT"] for each in programs] == ["9000", "9001", "9002"]
    assert [each.name for each in worker_programs(Settings(), 0, streams=True)] == ["streams"]
    assert worker_programs(Settings(), 1, streams=True)[1].environment["FER_METRICS_PORT"] == "0"
