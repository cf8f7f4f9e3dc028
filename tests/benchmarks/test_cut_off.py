"""A benchmark that is killed leaves no server behind."""

import subprocess
import sys
from pathlib import Path

from tests.support.commands import ROOT
from tests.support.watching import until

CODE = """
from sqlalchemy import make_url
from tests.support.cluster import postgresql
with postgresql() as url:
    print(make_url(url).query["host"], flush=True)
    input()
"""


def test_a_killed_benchmark_leaves_no_postgresql_behind() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CODE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as benchmark:
        assert benchmark.stdout
        data = Path(benchmark.stdout.readline().strip())
        server = Path("/proc", (data / "postmaster.pid").read_text().split()[0])
        assert data.is_dir() and (server / "exe").exists()
        benchmark.kill()
    until(lambda: not data.parent.exists() and not (server / "exe").exists(), 30)
