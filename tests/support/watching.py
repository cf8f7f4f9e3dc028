"""Looking at what runs through its own pages: what the tests of metrics and of Flower share."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from results.database import connect
from tests.support.cluster import children, freeze_at_work

T = TypeVar("T")

Figures = dict[str, float]


def free_port() -> int:
    """A free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fetch(url: str, login: str | None = None) -> tuple[int, str]:
    """Status and text of a page; -1 if nothing answers."""
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
    """What `look` gives as soon as that is true."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return seen


def kill_at_work(database_url: str, worker: "subprocess.Popen[bytes]", seconds: float = 120) -> int:
    """Kills the process in which a worker works in the middle of a shard, however quick it is; gives its number."""
    database = connect(database_url)
    until(lambda: freeze_at_work(database, worker), seconds)
    (process,) = children(worker)
    os.kill(process, signal.SIGKILL)
    os.killpg(worker.pid, signal.SIGCONT)
    database.dispose()
    return process


def said_by(program: str, **environment: str) -> str:
    """What a Python program prints in a process of its own, which has no other variables of ours."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("FER_")} | environment
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=given)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
