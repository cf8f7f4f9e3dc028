"""A second of a stream in one line."""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cli.views.streams import live_line

LIVE: dict[str, Any] = {
    "at": "2026-11-26T14:00:00.250+00:00",
    "state": "live",
    "capture_fps": 25.0,
    "processed_fps": 4.96,
    "delay_ms": {"p50": 310.2, "p95": 560.0},
    "faces": 2,
    "emotion": "happy",
    "means": {"happy": 0.631, "neutral": 0.2},
    "tracks": [
        {"track_id": 12, "emotion": "happy", "confidence": 0.9},
        {"track_id": 13, "emotion": "neutral", "confidence": 0.71},
    ],
}
NOBODY: dict[str, Any] = {"faces": 0, "emotion": None, "means": {}, "tracks": []}


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    os.environ.pop("TZ", None)
    time.tzset()


def test_a_line_says_when_who_and_how_fast() -> None:
    speed, tracks = "5.0 of 25.0 fps, delay 310/560 ms", "#12 happy 90%, #13 neutral 71%"
    assert live_line(LIVE) == f"15:00:00  {'2 faces  happy 63%':<24}  {speed}  {tracks}"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"state": "reconnecting", "capture_fps": None}, "15:00:00  reconnecting"),
        (NOBODY, f"15:00:00  {'no face':<24}  5.0 of 25.0 fps, delay 310/560 ms"),
        # Someone left within the second; the first seconds have no figures.
        (
            {"faces": 0, "tracks": [], "processed_fps": None, "delay_ms": {"p50": None, "p95": None}},
            f"15:00:00  {'no face':<24}  – of 25.0 fps",
        ),
        ({**NOBODY, "faces": 1}, "15:00:00  no face"),
    ],
)
def test_a_line_in_other_states(values: dict[str, Any], words: str) -> None:
    assert live_line(LIVE | values).startswith(words)
