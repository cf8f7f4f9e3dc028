from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_model.sources.live.capture import Capture
from fer_model.sources.live.line import Pauses
from tests.support.live_servers import write_live_clip

QUICK = Pauses(first_s=0.05, longest_s=0.2, locked_s=0.1)


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_live_clip(tmp_path_factory.mktemp("live") / "small.mp4", 4, (320, 180))


@pytest.fixture
def capturing() -> Iterator[Callable[..., Capture]]:
    """Makes captures with quick reconnection, and stops them at the end of the test."""
    running: list[Capture] = []

    def start(uri: str, **options: Any) -> Capture:
        running.append(Capture(uri, **({"pauses": QUICK} | options)))
        return running[-1]

    yield start
    for capture in running:
        capture.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts of a fraction of a second."""
    monkeypatch.setattr("fer_model.sources.live.opening.OPEN_S", 2.0)
    monkeypatch.setattr("fer_model.sources.live.opening.READ_S", 0.5)
