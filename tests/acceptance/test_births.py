"""Code from the current folder is never executed; children that die at birth end what started them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fer_model.networks.manifest import SHIPPED
from tests.support.commands import ROOT
from tests.support.databases import query
from tests.support.live_servers import free_port
from tests.support.watching import until
from workers.queue.pool import READY

SCRIPT = Path(sys.executable).with_name("fer-batch")
NAMES = (
    # Ours, what we import, and modules of the standard library, early and late ones.
    "results", "workers", "cli", "migrations", "fer_model", "redis", "celery", "kombu", "billiard", "numpy", "cv2",
    "av", "openvino", "torch", "sqlalchemy", "pydantic", "click",
    "secrets", "json", "pickle", "random", "logging", "socket",
    "ctypes", "tempfile", "sitecustomize", "usercustomize", "conftest", "celeryconfig",
)  # fmt: skip
PACKAGES = ("flower", "tornado", "alembic", "PIL", "prometheus_client", "torchvision")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder with a module of each name that writes its name to `executed` and then fails."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in NAMES + PACKAGES:
        executed = f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r} + '\\n')"
        place = folder / f"{name}.py"
        if name in PACKAGES:
            (folder / name).mkdir()
            place = folder / name / "__init__.py"
        place.write_text(f"{executed}\nraise ImportError('executed from the current folder')\n")
    return folder


def started_in(folder: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The installed command, started in a folder; one that waits for ever fails the test."""
    given = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"} | environment
    return subprocess.run(
        [str(SCRIPT), *words], cwd=folder, env=given, capture_output=True, text=True, timeout=240, check=False
    )


def without_a_graph(folder: Path) -> Path:
    """A store whose manifest names the shipped weights, the detector without its graph, so that it is converted."""
    manifest = json.loads((SHIPPED / "manifest.json").read_text())
    members = manifest["ensemble"]["members"]
    for entry in (manifest["detector"], *members):
        for kind in (entry, entry["graph"]):
            kind["file"] = str(SHIPPED / kind["file"])
    # Its conversion imports the most.
    del manifest["detector"]["graph"]
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_files_of_the_current_folder_are_never_executed(samples: Path, trap: Path, tmp_path: Path) -> None:
    """The command, the worker that it starts, Celery's processes, and the one that converts networks."""
    url = f"sqlite:///{tmp_path / 'results.db'}"
    picture = str(samples / "zidane.jpg")
    own = {"FER_CACHE_DIR": str(tmp_path / "cache"), "FER_MODELS_DIR": str(without_a_graph(tmp_path / "models"))}
    run = started_in(trap, "run", picture, "--db", url, **own)
    assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()
    assert run.returncode == 0, run.stderr
    assert query(url, "SELECT state FROM jobs") == [("done",)]
    assert query(url, "SELECT count(*) FROM faces") == [(2,)]


def test_up_executes_no_files_of_the_current_folder(samples: Path, trap: Path, tmp_path: Path) -> None:
    """Redis, workers and Flower, started by a command that stands in the folder; and `submit` from there."""
    url, port = f"sqlite:///{tmp_path / 'results.db'}", free_port()
    words = [
        "up",
        "--flower",
        "--port",
        str(port),
        "--flower-port",
        str(free_port()),
        "--data",
        str(tmp_path / "redis"),
    ]
    log = tmp_path / "up.log"
    with log.open("w") as output:
        up = subprocess.Popen([str(SCRIPT), *words, "--db", url], cwd=trap, stdout=output, stderr=output)
    try:
        until(lambda: READY in log.read_text() or up.poll() is not None)
        where = ("--broker", f"redis://127.0.0.1:{port}/0", "--db", url)
        run = started_in(trap, "submit", str(samples / "zidane.jpg"), "--wait", *where)
        assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()
        assert run.returncode == 0, run.stderr + log.read_text()
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)


def test_a_worker_executes_no_files_of_the_current_folder(
    samples: Path, trap: Path, broker: str, tmp_path: Path
) -> None:
    where = ("--broker", broker, "--db", f"sqlite:///{tmp_path / 'results.db'}")
    log = tmp_path / "worker.log"
    with log.open("w") as output:
        worker = subprocess.Popen([str(SCRIPT), "worker", *where], cwd=trap, stdout=output, stderr=output)
    try:
        run = started_in(trap, "submit", str(samples / "zidane.jpg"), "--wait", *where)
        assert not (tmp_path / "executed").exists(), (tmp_path / "executed").read_text()
        assert run.returncode == 0, run.stderr + log.read_text()
    finally:
        worker.terminate()
        worker.wait(60)


def stillborn(tmp_path: Path, death: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "tests" / "acceptance" / "stillborn"), os.environ.get("PYTHONPATH", "")])
    return {
        "PYTHONPATH": path.rstrip(os.pathsep),
        "FER_TEST_BIRTHS": str(tmp_path / "births"),
        "FER_TEST_DEATH": death,
        "FER_DATABASE_URL": f"sqlite:///{tmp_path / 'results.db'}",
    }


def births(tmp_path: Path) -> int:
    return len((tmp_path / "births").read_text().splitlines())


@pytest.mark.parametrize(("death", "reason"), [("error", "libGL.so.1: cannot open"), ("kill", "signal 9 (SIGKILL)")])
def test_children_that_die_at_birth_end_a_worker(death: str, reason: str, broker: str, tmp_path: Path) -> None:
    run = started_in(tmp_path, "worker", "--broker", broker, **stillborn(tmp_path, death))
    last = run.stderr.strip().splitlines()[-1]
    assert run.returncode == 1
    assert last.startswith("Error: The worker's processes died 3 times in a row") and reason in last
    assert births(tmp_path) == 3


def test_children_that_die_at_birth_end_a_run(samples: Path, tmp_path: Path) -> None:
    run = started_in(tmp_path, "run", str(samples / "zidane.jpg"), **stillborn(tmp_path, "error"))
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: The worker stopped unexpectedly") and "libGL.so.1: cannot open" in last
    assert "Traceback" not in run.stderr
    assert query(f"sqlite:///{tmp_path / 'results.db'}", "SELECT state FROM jobs") == [("cancelled",)]


def test_children_that_die_at_birth_end_the_whole_system(tmp_path: Path) -> None:
    words = ("up", "--port", str(free_port()), "--data", str(tmp_path / "redis"))
    run = started_in(tmp_path, *words, **stillborn(tmp_path, "error"))
    last = run.stderr.strip().splitlines()[-1]
    assert run.returncode == 1
    assert last.startswith("Error: worker 1 died 3 times before it was ready") and "libGL.so.1: cannot open" in last
    assert births(tmp_path) <= 12
