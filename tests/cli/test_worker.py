"""`worker` refuses to start where it could not work; its log is also for programs."""

import json
from pathlib import Path

from tests.support.commands import fer_batch, only_sentence
from tests.support.watching import output_of
from workers.queue.local_stack import local_worker


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


def test_each_line_of_the_log_is_json_also_those_of_its_children(broker: str, samples: Path, tmp_path: Path) -> None:
    where = {"FER_BROKER_URL": broker, "FER_DATABASE_URL": f"sqlite:///{tmp_path / 'results.db'}"}
    log = tmp_path / "worker.log"
    # Python's own warning, as of work done as root, is no line of the log.
    with local_worker({**where, "FER_LOG_JSON": "1", "PYTHONWARNINGS": "ignore"}, log):
        run = fer_batch("submit", "--wait", "--quiet", str(samples / "zidane.jpg"), **where)
        assert (run.returncode, run.stderr) == (0, "")
    # What Celery prints by itself when it is stopped.
    lines = [line for line in log.read_text().splitlines() if line and not line.startswith("worker: ")]
    entries = [json.loads(line) for line in lines]
    done = [entry for entry in entries if "succeeded" in entry["message"]]
    assert done and all(entry["process"] != "MainProcess" and entry["task_id"] for entry in done)
    assert "INFO" in {entry["level"] for entry in entries}


def test_celerys_other_commands_and_flower_are_not_imported() -> None:
    program = """
import sys
from celery.bin.worker import worker
from cli.worker import _work
from workers.queue.app import make_app
from workers.settings import Settings
worker.main = lambda **_: 3
try:
    _work(make_app(Settings()), [], quiet=True)
except SystemExit as end:
    print(end.code, [name for name in ("celery.bin.celery", "flower", "prompt_toolkit") if name in sys.modules])
"""
    assert output_of(program) == "3 []"
