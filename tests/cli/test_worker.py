"""`worker` refuses to start where it could not work."""

from pathlib import Path

from tests.support.commands import fer_batch, only_sentence


def test_a_cache_that_cannot_be_written_stops_the_worker_before_it_takes_work(broker: str, tmp_path: Path) -> None:
    words = ("worker", "--broker", broker, "--db", f"sqlite:///{tmp_path / 'results.db'}")
    run = fer_batch(*words, FER_CACHE_DIR="/proc/none")
    assert run.returncode == 1 and "FER_CACHE_DIR" in only_sentence(run.stderr)


def test_a_device_that_is_not_there_stops_the_worker_before_it_takes_work(broker: str, tmp_path: Path) -> None:
    words = ("worker", "--broker", broker, "--db", f"sqlite:///{tmp_path / 'results.db'}", "--device", "cuda:99")
    run = fer_batch(*words)
    assert run.returncode == 1 and "cuda:99 is not available: this machine has" in only_sentence(run.stderr)


def test_streams_and_other_queues_in_one_worker_are_refused() -> None:
    run = fer_batch("worker", "--queues", "batch, stream,train")
    assert run.returncode == 1
    assert only_sentence(run.stderr) == (
        "A worker that serves the queue 'stream' serves no other; start two: `fer-batch worker --queues stream` and "
        "`fer-batch worker --queues batch,train`."
    )
