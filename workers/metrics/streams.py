"""The figures of live streams for Prometheus, read from the database at each scrape."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from results.read.streams import StreamStatus
from results.stream_tables import STREAM_STATES

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PARENT = 1
"""The place of the parent's pid in /proc/PID/stat, after the name (proc(5))."""

Values = Mapping[str, float | None]
"""The value for each value of a second label; of the empty one where there is none."""


class StreamFigures:
    """How many streams are in each state, and the figures of those that this worker serves.

    `statuses` asks the database at each scrape; when it returns None, all series are omitted.
    """

    def __init__(self, statuses: Callable[[], Sequence[StreamStatus] | None]) -> None:
        self._statuses = statuses

    def collect(self) -> "Iterator[Metric]":
        statuses = self._statuses()
        yield _states(statuses)
        yield from _figures([each for each in statuses or () if each.worker and _is_child(each.worker)])


def _is_child(worker: str) -> bool:
    """Whether this worker, HOST:PID, is a process of the pool of this one."""
    host, _, pid = worker.rpartition(":")
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return host == os.uname().nodename and after_name[PARENT] == str(os.getpid())


def _states(statuses: Sequence[StreamStatus] | None) -> "Metric":
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily("fer_streams", "Streams in each state, those of all workers.", labels=["state"])
    if statuses is not None:
        for state in STREAM_STATES:
            family.add_metric([state], sum(each.state == state for each in statuses))
    return family


def _figures(streams: Sequence[StreamStatus]) -> "Iterator[Metric]":
    from prometheus_client.metrics_core import CounterMetricFamily as Counter
    from prometheus_client.metrics_core import GaugeMetricFamily as Gauge

    def family(
        kind: "type[Counter] | type[Gauge]",
        name: str,
        text: str,
        values: Callable[[StreamStatus], Values],
        *label: str,
    ) -> "Metric":
        family = kind(f"fer_stream_{name}", text, labels=["stream", *label])
        for stream in streams:
            for key, value in values(stream).items():
                if value is not None:
                    family.add_metric([stream.name, *([key] if label else [])], value)
        return family

    yield family(Gauge, "capture_fps", "Frames a second that arrive.", lambda each: {"": each.capture_fps})
    yield family(Gauge, "processed_fps", "Frames a second that are analysed.", lambda each: {"": each.processed_fps})
    yield family(Gauge, "delay_seconds", "From a frame's capture to its committed row.", _delays, "quantile")
    yield family(Counter, "skipped", "Wanted frames that were not analysed.", lambda each: each.skipped, "cause")
    yield family(Counter, "reconnects", "Connections after the first.", lambda each: {"": each.reconnects})
    yield family(
        Gauge,
        "state",
        "1 for the stream's state.",
        lambda each: {state: each.state == state for state in STREAM_STATES},
        "state",
    )


def _delays(stream: StreamStatus) -> Values:
    p50, p95 = stream.delay_ms["p50"], stream.delay_ms["p95"]
    return {"0.5": p50 and p50 / 1000, "0.95": p95 and p95 / 1000}
