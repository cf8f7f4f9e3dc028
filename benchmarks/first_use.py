"""Delay of the first frame: `python -m benchmarks.first_use`.

Starts a worker on a queued job, first with an empty cache of compiled networks and then with a full one, and
measures from the start of the worker's process to the end of a shard with one photograph.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import select

from fer_model.samples import write_samples
from results.database import connect, reading, upgrade
from results.tables import Shard
from tests.support.cluster import end, start
from workers.queue.local_stack import local_redis, stack_folder

PYTHON = (sys.executable, "-P", "-m", "cli")
LIMIT_S = 200.0


def main() -> None:
    with tempfile.TemporaryDirectory() as place, stack_folder() as sockets, local_redis(sockets) as broker:
        folder = Path(place)
        write_samples(folder / "media")
        upgrade(url := f"sqlite:///{folder / 'results.db'}")
        own = {"FER_DATABASE_URL": url, "FER_BROKER_URL": broker, "FER_CACHE_DIR": str(folder / "cache")}
        environment = {**os.environ, **own, "FER_DEVICE": "cpu"}
        for name in ("empty cache", "full cache", "full cache"):
            command = [*PYTHON, "submit", str(folder / "media" / "zidane.jpg")]
            subprocess.run(command, env=environment, check=True, capture_output=True)
            print(
                f"{name}: {_first_frame(url, environment, folder):.1f} s from the start to the first frame", flush=True
            )


def _first_frame(url: str, environment: dict[str, str], folder: Path) -> float:
    database = connect(url)
    began = time.monotonic()
    worker = start([*PYTHON, "worker"], folder / "worker.log", environment)
    try:
        while time.monotonic() - began < LIMIT_S:
            with reading(database) as session:
                if all(state == "done" for state in session.scalars(select(Shard.state))):
                    return time.monotonic() - began
            time.sleep(0.02)
        raise SystemExit(f"no frame within {LIMIT_S:.0f} s: {(folder / 'worker.log').read_text()[-500:]}")
    finally:
        end(worker)
        database.dispose()


if __name__ == "__main__":
    main()
