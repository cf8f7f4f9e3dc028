"""The figures of live streams: those that this worker's processes hold, and the states of all, on both databases."""

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine as Database

from results.database import reading, writing
from results.read.streams import stream_statuses
from results.recording import append_stream, hour, resume
from tests.support.rows import frame, new_stream, take_stream
from workers.metrics.streams import StreamFigures

Samples = dict[tuple[str, ...], float]

FIGURES = {
    "state": "live",
    "capture_fps": 25.0,
    "processed_fps": 5.0,
    "delay_p50_ms": 310.0,
    "delay_p95_ms": 560.0,
    "skipped_stale": 3,
    "reconnects": 2,
}


@pytest.fixture
def child() -> Iterator[str]:
    """The name of a process of this worker's pool."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield f"{os.uname().nodename}:{process.pid}"
        process.kill()


def serve(database: Database, name: str, worker: str) -> None:
    """A worker has the stream, and has written a second of it."""
    with writing(database) as session:
        claim = take_stream(session, new_stream(session, name), worker)
        resume(session, claim)
        place = hour(session, claim, datetime(2026, 11, 26, 14, tzinfo=UTC))
        append_stream(
            session, claim, 0, frames=[frame(place.media_id, 0, 0, 0)], faces=[], figures=FIGURES, next_track_id=0
        )


def samples(database: Database) -> Samples:
    """Name and values of labels -> value."""
    with reading(database) as session:
        families = list(StreamFigures(lambda: stream_statuses(session)).collect())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_a_worker_reports_the_streams_that_it_has_and_the_states_of_all(database: Database, child: str) -> None:
    serve(database, "lobby", child)
    # Process 1 is no child of ours; another host may have a process of the same number.
    serve(database, "door", f"{os.uname().nodename}:1")
    serve(database, "gate", f"elsewhere:{child.rpartition(':')[2]}")
    with writing(database) as session:
        new_stream(session, "nobody's")
    found = samples(database)
    assert {name for name, *_ in found} == {
        "fer_streams",
        *(f"fer_stream_{name}" for name in ("capture_fps", "processed_fps", "delay_seconds", "state")),
        *(f"fer_stream_{name}_total" for name in ("skipped", "reconnects")),
    }
    assert {labels[0] for name, *labels in found if name != "fer_streams"} == {"lobby"}
    states = {state: found["fer_streams", state] for state in ("waiting", "live", "stopped")}
    assert states == {"waiting": 1, "live": 3, "stopped": 0}
    assert found["fer_stream_capture_fps", "lobby"] == 25.0 and found["fer_stream_processed_fps", "lobby"] == 5.0
    delays = [found["fer_stream_delay_seconds", "lobby", quantile] for quantile in ("0.5", "0.95")]
    assert delays == [0.31, 0.56]
    assert found["fer_stream_state", "lobby", "live"] == 1 and found["fer_stream_state", "lobby", "reconnecting"] == 0
    assert found["fer_stream_skipped_total", "lobby", "stale"] == 3
    assert found["fer_stream_skipped_total", "lobby", "decode"] == 0
    assert found["fer_stream_reconnects_total", "lobby"] == 2


def test_without_an_answer_of_the_database_no_series_is_served() -> None:
    families = list(StreamFigures(lambda: None).collect())
    assert families[0].name == "fer_streams" and not any(each.samples for each in families)
