"""Reads a worker's metrics and Flower's pages."""

import base64
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from results.database import connect
from tests.support.cluster import children
from tests.support.freezing import freeze_at_work, thaw

T = TypeVar("T")

Figures = dict[str, float]


def fetch(url: str, login: str | None = None) -> tuple[int, str]:
    """Status and text of a page; status -1 if no server answers."""
    request = urllib.request.Request(url)
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return -1, ""


def scrape(port: int) -> Figures:
    """A worker's figures by name, with their labels as in `fer_shards_total{outcome="done"}`."""
    status, text = fetch(f"http://127.0.0.1:{port}/metrics")
    assert status == 200
    return {name: float(value) for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", text, flags=re.MULTILINE)}


def until(look: Callable[[], T], seconds: float = 60) -> T:
    """The result of `look` once that is true."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return seen


def kill_at_work(database_url: str, worker: "subprocess.Popen[bytes]", seconds: float = 120) -> int:
    """Kills a worker's pool process in the middle of a shard, however fast it is; returns its pid."""
    database = connect(database_url)
    until(lambda: freeze_at_work(database, worker), seconds)
    (process,) = children(worker)
    os.kill(process, signal.SIGKILL)
    thaw([worker.pid])
    database.dispose()
    return process


def output_of(program: str, **environment: str) -> str:
    """The output of a Python program in a separate process, with no other FER_ variables."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("FER_")} | environment
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=given)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
