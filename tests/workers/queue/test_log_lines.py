"""The worker's log: names in it make no line of their own."""

import subprocess
import sys

from tests.support.commands import ROOT

PROGRAM = r"""
import logging
from workers.queue.app import make_app
from workers.settings import Settings

app = make_app(Settings())
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


def test_names_make_no_line_and_give_no_order() -> None:
    run = subprocess.run([sys.executable, "-P", "-c", PROGRAM], capture_output=True, text=True, timeout=120, cwd=ROOT,
                         env={"PYTHONPATH": str(ROOT), "PATH": ""})  # fmt: skip
    lines = run.stderr.splitlines()
    assert lines[0].endswith(r"shard 7 failed: a\nforged\x1b[2J\u202e.jpg")
    assert lines[1].endswith("two") and lines[2] == "lines of our own"
    assert lines[3].endswith(r"a\rb") and lines[4] == "Traceback (most recent call last):"
    assert lines[-1] == r"ValueError: inside\x1b]0;title\x07"
