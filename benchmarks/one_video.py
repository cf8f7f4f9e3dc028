"""`python -m benchmarks.one_video CLIP`: a job of one video in this process, without inference.

Prints its frames and the peak memory in MB.
"""

import sys
import tempfile
from pathlib import Path

from results.database import connect, upgrade
from tests.support.idle import IdleEngine
from workers.diagnosis.benchmark import peak_rss_mb, work_through
from workers.settings import Settings

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        upgrade(url := f"sqlite:///{folder}/results.db")
        _, frames = work_through(connect(url), Settings(), Path(sys.argv[1]), IdleEngine())
        print(frames, peak_rss_mb())
