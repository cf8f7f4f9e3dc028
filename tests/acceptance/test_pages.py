"""Every block of shell that the README and the quickstart show is run, in order, as a reader would type it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from results.database import upgrade
from tests.support.commands import ROOT
from tests.support.databases import NewDatabase, query
from tests.support.live_servers import free_port, rtsp_server, write_live_clip
from tests.support.watching import until

PROGRAM = f'#!/bin/sh\nexec {sys.executable} -P -m cli "$@"\n'
SQLITE = f"""#!{sys.executable}
import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]), sep="\\n")
"""
"""For machines without the program `sqlite3`."""

ENDLESS = re.compile(r"^(fer-batch (?:worker|up)\b[^#\n]*?)\s*(?:#.*)?$", re.MULTILINE)
"""Commands that run until they are stopped, which a reader types into a terminal of its own."""


def blocks(page: str) -> list[str]:
    """The blocks of shell of a page, without those of `make`, which the whole suite and the demo are."""
    found = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    targets = (ROOT / "Makefile").read_text()
    for block in found:
        for target in re.findall(r"^make (\w+)", block, re.MULTILINE):
            assert f"\n{target}:" in targets, block
    return [block for block in found if not block.startswith("make ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, samples: Path, prepared: None) -> Path:
    """What a reader has: a clone with its virtual environment, and videos."""
    folder = tmp_path_factory.mktemp("clone")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "fer-batch").write_text(PROGRAM)
    if not shutil.which("sqlite3"):
        (programs / "sqlite3").write_text(SQLITE)
    for program in programs.iterdir():
        program.chmod(0o755)
    (programs / "activate").write_text(f'PATH="{programs}:$PATH"\n')
    for videos in (folder / "videos", folder / "Videos"):
        videos.mkdir()
        shutil.copy(samples / "clip.mp4", videos / "interview.mp4")
    return folder


@contextmanager
def shell(folder: Path, block: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a block, its output in `block.log`; what it has left running is stopped at the end."""
    # As in a terminal that activated the environment; `~` is the folder too.
    path = f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"
    # No setting of who runs the tests, but where networks and weights lie.
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith("FER_") or name == "FER_CACHE_DIR"
    }
    script = "set -euo pipefail\n" + ENDLESS.sub(r"\1 > endless.log 2>&1 &", block)
    with (folder / "block.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env={**plain, "HOME": str(folder), "PATH": path, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            # `until` fails by an assertion; the next signal is for that.
            with suppress(ProcessLookupError, AssertionError):
                os.killpg(process.pid, number)
                until(lambda: process.poll() is not None and not is_running(process.pid), 30)


def is_running(group: int) -> bool:
    """Whether a process of the group is left; one that has ended and was not waited for is none."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            stats.append(path.read_text().rpartition(")")[2].split())
    return any(state != "Z" and int(its_group) == group for state, _, its_group, *_ in stats)


def run(folder: Path, block: str, **environment: str) -> str:
    """What a block prints; the test fails if one of its commands does."""
    with shell(folder, block, **environment) as process:
        code = process.wait(280)
    log = (folder / "block.log").read_text()
    assert code == 0, f"{block}\n{log}"
    return log


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_what_needs_no_other_machine(page: str, folder: Path) -> None:
    written = ["report.html", *(["tracks.csv", "faces.parquet"] if page == "README.md" else ["timeline.csv"])]
    for name in ("fer-batch.db", *written):
        (folder / name).unlink(missing_ok=True)
    local = [block for block in blocks(page) if "export FER_" not in block and "rtsp://" not in block]
    assert len(local) > 2
    for block in local:
        if "doctor" in block:
            # It finds no Redis here, and says so.
            with shell(folder, block, FER_BROKER_URL="redis://127.0.0.1:1/0") as process:
                assert process.wait(120) == 1
            assert "redis-server" in (folder / "block.log").read_text()
        else:
            run(folder, block)
    assert query(f"sqlite:///{folder / 'fer-batch.db'}", "SELECT count(*) FROM faces WHERE emotion IS NOT NULL")[0][0]
    assert all((folder / name).stat().st_size > 100 for name in written)
    if page == "README.md":
        assert list((folder / "anonymous").rglob("*.mp4"))


def test_the_cluster(folder: Path, broker: str, postgresql: NewDatabase, samples: Path) -> None:
    (block,) = [block for block in blocks("README.md") if "export FER_" in block]
    url = postgresql()
    upgrade(url)
    given = {
        "redis://:PASSWORD@queue.example:6379/0": broker,
        "postgresql://fer:PASSWORD@db.example/fer": f"'{url}'",
        "/srv/media": str(samples),
    }
    for written, real in given.items():
        assert written in block
        block = block.replace(written, real)
    assert '"state": "done"' in run(folder, block)


def test_live_streams(folder: Path, prepared: None, tmp_path: Path) -> None:
    (block,) = [block for block in blocks("README.md") if "rtsp://" in block]
    port = free_port()
    with rtsp_server(write_live_clip(tmp_path / "clip.mp4"), "anna", "s3cret") as camera:
        block = block.replace("rtsp://anna@10.0.0.7/stream1", camera.url.replace("rtsp://", "rtsp://anna@"))
        block = block.replace("up --streams", f"up --streams --port {port} --data {tmp_path / 'queue'}")
        # A reader waits until `up` says that it is ready.
        ready = "until grep -q 'To submit' endless.log; do sleep 0.3; done\nfer-batch stream add"
        block = block.replace("fer-batch stream add", ready).replace("tail lobby", "tail lobby > lines.txt")
        environment = {
            "FER_BROKER_URL": f"redis://localhost:{port}/0",
            "FER_STREAM_PASSWORD_LOBBY": "s3cret",
            "FER_DATABASE_URL": f"sqlite:///{tmp_path / 'live.db'}",
        }
        with shell(folder, block, **environment) as process:
            lines = folder / "lines.txt"
            until(lambda: process.poll() is not None or (lines.exists() and lines.read_text().count("\n") > 2), 200)
            assert process.poll() is None, (folder / "block.log").read_text()
