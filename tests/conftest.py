"""What the tests of all rooms share: sample media, networks, and a running stack."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.sharing import one_at_a_time, shared_folder

pytest_plugins = ["tests.support.databases"]

ROOT = Path(__file__).resolve().parent.parent

# For torch, here and in the processes that are started, before it is imported: the threads of several that compute at
# once would wait for each other most of the time. OpenVINO and OpenCV take no notice of it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

LONGEST = ("acceptance", "workers", "cli")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rooms whose files take long come first: of processes that share the tests none has one left over at the end."""
    items.sort(key=lambda item: [room not in item.path.relative_to(ROOT).parts for room in LONGEST])


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where networks are compiled to in this test run, here and in the processes it starts.

    With FER_TEST_CACHE they are kept there for the next one, which spares whoever runs single tests a minute.
    """
    folder = Path(os.environ.get("FER_TEST_CACHE") or shared_folder(tmp_path_factory) / "cache")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["FER_CACHE_DIR"] = str(folder)
    # Not the user's own.
    os.environ["FER_MODELS_DIR"] = str(tmp_path_factory.mktemp("models"))
    return folder


@pytest.fixture(scope="session")
def prepared(cache: Path) -> None:
    """The networks are compiled, and tests that run at once do not each do it.

    It takes as long as a small job, and longer than a short time limit.
    """
    from fer_model.engines import load_engine
    from fer_model.networks.manifest import read_models

    with one_at_a_time(cache / "lock"):
        load_engine(read_models(), "cpu", cache)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with zidane.jpg (two faces), bus.jpg (several) and clip.mp4 (both, panned over)."""
    from examples.sample_media import write_samples

    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Development data that is not part of the repository."""
    folder = Path(os.environ.get("FER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.exists():
        pytest.skip(f"the development data are not at {folder} (set FER_TEST_DATA)")
    return folder


@dataclass(frozen=True)
class Stack:
    """A Redis server, a database and a worker that run."""

    database_url: str
    broker_url: str

    @property
    def environment(self) -> dict[str, str]:
        """For processes that are to use it."""
        return {"FER_DATABASE_URL": self.database_url, "FER_BROKER_URL": self.broker_url}


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """The URL of a real Redis server."""
    from workers.queue.local_stack import local_redis, stack_folder

    with stack_folder() as folder, local_redis(folder) as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker with a Redis server and a database of its own, as `fer-batch run` has them."""
    from results.database import upgrade
    from workers.queue.local_stack import local_redis, local_worker, stack_folder

    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'results.db'}"
    else:
        url = request.getfixturevalue("postgresql")()
    upgrade(url)
    log = tmp_path_factory.mktemp("stack") / "worker.log"
    with stack_folder() as folder, local_redis(folder) as broker_url:
        running = Stack(url, broker_url)
        with local_worker(running.environment, log):
            yield running
    print(f"--- what the worker on {request.param} said ---\n{log.read_text()}")


def fer_batch(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli", *words],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, **environment},
    )


def succeed(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As `fer_batch`, and the test fails with what it said if it fails."""
    run = fer_batch(*words, **environment)
    assert run.returncode == 0, run.stderr
    return run


def fer_batch_here(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As `fer_batch`, but in this process, for commands that need torch: importing it takes seconds each time."""
    from click.testing import CliRunner

    from cli.main import main

    run = CliRunner(env=environment).invoke(main, words, catch_exceptions=False)
    return subprocess.CompletedProcess(words, run.exit_code, run.stdout, run.stderr)


def succeed_here(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As `fer_batch_here`, and the test fails with what it said if it fails."""
    run = fer_batch_here(*words, **environment)
    assert run.returncode == 0, run.stderr
    return run


def query(url: str, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows that a database gives for a statement."""
    from sqlalchemy import text

    from results.database import connect, reading

    database = connect(url)
    with reading(database) as session:
        rows = [tuple(row) for row in session.execute(text(statement), values)]
    database.dispose()
    return rows
