from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_model.sources.live.capture import Capture
from fer_model.sources.live.connection import abandoned
from fer_model.sources.live.line import Pauses
from tests.support.captures import threads
from tests.support.live_servers import wait_until, write_live_clip

QUICK = Pauses(first_s=0.05, longest_s=0.2, locked_s=0.1)


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_live_clip(tmp_path_factory.mktemp("live") / "small.mp4", 4, (320, 180))


@pytest.fixture
def capturing() -> Iterator[Callable[..., Capture]]:
    """Makes captures with quick reconnection. The test's end stops them, and each of their threads has to end."""
    running: list[Capture] = []

    def start(uri: str, **options: Any) -> Capture:
        running.append(Capture(uri, **({"pauses": QUICK} | options)))
        return running[-1]

    yield start
    for capture in running:
        capture.stop()
    wait_until(lambda: threads("stream decoding") == 0, 2.0)
    wait_until(lambda: threads("stream connection") == 0)
    assert abandoned() == 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts of a fraction of a second."""
    monkeypatch.setattr("fer_model.sources.live.opening.OPEN_S", 2.0)
    monkeypatch.setattr("fer_model.sources.live.opening.READ_S", 1.0)
    monkeypatch.setattr("fer_model.sources.live.opening.GRACE_S", 0.5)
