"""What the tests of all rooms share: sample media, networks, and a running stack."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.sharing import one_at_a_time, shared_folder
from tests.support.stack import Stack, stack_on

pytest_plugins = ["tests.support.databases"]

# For torch, here and in the processes that are started, before it is imported: the threads of several that compute at
# once would wait for each other most of the time. OpenVINO and OpenCV take no notice of it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Else each of the many processes that the tests start would compile every module anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell's background job ignores it, and so would all commands that the tests start and end by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = ("acceptance", "workers", "cli")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rooms whose files take long come first: of processes that share the tests none has one left over at the end."""
    items.sort(key=lambda item: [room not in item.path.relative_to(ROOT).parts for room in LONGEST])


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where networks are compiled to in this test run, here and in the processes it starts.

    With FER_TEST_CACHE they are kept there for the next run, which saves a single test a minute.
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
    from fer_model.samples import write_samples

    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@pytest.fixture(scope="session")
def live_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with faces as cameras encode it, for `tests.support.live_servers`, which play it for ever."""
    from tests.support.live_servers import write_live_clip

    folder = shared_folder(tmp_path_factory)
    with one_at_a_time(folder / "live_clip.lock"):
        if not (path := folder / "live_clip.mp4").exists():
            write_live_clip(path.with_stem("unfinished")).rename(path)
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Development data that is not part of the repository."""
    folder = Path(os.environ.get("FER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.exists():
        pytest.skip(f"the development data are not at {folder} (set FER_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """The URL of a real Redis server."""
    from workers.queue.local_stack import local_redis, stack_folder

    with stack_folder() as folder, local_redis(folder) as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """A worker with a Redis server and a database of its own, as `fer-batch run` has them.

    Both run until the last test: a fixture with parameters ends whenever a test with another parameter comes.
    """
    running: Stack = request.getfixturevalue(f"{request.param}_stack")
    return running


@pytest.fixture(scope="session")
def sqlite_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield from stack_on(f"sqlite:///{tmp_path_factory.mktemp('database') / 'results.db'}", tmp_path_factory)


@pytest.fixture(scope="session")
def postgresql_stack(postgresql: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield from stack_on(postgresql(), tmp_path_factory)
