"""The worker's log: names in it make no line of their own."""

import json
import subprocess
import sys
import time
from datetime import datetime

from tests.support.commands import ROOT

PROGRAM = r"""
import logging
from workers.queue.app import make_app
from workers.settings import Settings

app = make_app(Settings())
app.set_current()
app.loader.import_default_modules()
app.log.setup(loglevel="INFO")
log = logging.getLogger("workers.batch")
log.warning("shard %s failed: %s", 7, ValueError("a\nforged\x1b[2J\u202e.jpg"))
log.warning("two\nlines of our own")
try:
    raise ValueError("inside\x1b]0;title\x07")
except ValueError:
    log.exception("%s", "a\rb")
"""


def logged(**environment: str) -> list[str]:
    """The lines of the program's log."""
    run = subprocess.run([sys.executable, "-P", "-c", PROGRAM], capture_output=True, text=True, timeout=120, cwd=ROOT,
                         env={"PYTHONPATH": str(ROOT), "PATH": "", **environment})  # fmt: skip
    return run.stderr.splitlines()


def test_each_record_is_one_json_object_if_it_is_to_be() -> None:
    first, second, third = map(json.loads, logged(FER_LOG_JSON="1"))
    assert (first["level"], first["logger"], first["process"]) == ("WARNING", "workers.batch", "MainProcess")
    assert first["message"] == "shard 7 failed: a\nforged\x1b[2J\u202e.jpg"
    assert abs(datetime.fromisoformat(first["time"]).timestamp() - time.time()) < 120
    assert second["message"] == "two\nlines of our own" and "exception" not in second
    assert third["exception"].startswith("Traceback") and third["exception"].endswith("title\x07")


def test_names_make_no_line_and_give_no_order() -> None:
    lines = logged()
    assert lines[0].endswith(r"shard 7 failed: a\nforged\x1b[2J\u202e.jpg")
    assert lines[1].endswith("two") and lines[2] == "lines of our own"
    assert lines[3].endswith(r"a\rb") and lines[4] == "Traceback (most recent call last):"
    assert lines[-1] == r"ValueError: inside\x1b]0;title\x07"
