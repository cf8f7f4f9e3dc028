"""One stream in the terminal, as `status` prints it."""

from typing import TYPE_CHECKING

from rich.table import Table

from cli.views.terminal import safe_text, terminal
from results.read.times import moment

if TYPE_CHECKING:
    from results.read.status import JobStatus
    from results.read.streams import StreamStatus


def print_stream(stream: "StreamStatus", job: "JobStatus") -> None:
    """The stream's figures on stdout; its events are in `stream events`."""
    skipped = ", ".join(f"{count:,} {cause}" for cause, count in stream.skipped.items() if count)
    rows = {
        "stream": stream.name,
        "job": stream.job,
        "state": stream.state,
        "address": stream.uri,
        "worker": stream.worker,
        "speed": _speed(stream),
        "delay": _delay(stream),
        "skipped": skipped and f"{skipped} frames",
        "reconnects": f"{stream.reconnects:,}" if stream.reconnects else None,
        "hours": f"{job.media:,}",
        "frames": f"{job.frames:,}",
        "faces": f"{job.faces:,}",
        "models": ", ".join(job.ensembles),
        "last event": _last_event(stream),
        "error": stream.error,
    }
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in rows.items():
        if value:
            table.add_row(safe_text(name, "bold"), safe_text(value))
    terminal().print(table)


def _speed(stream: "StreamStatus") -> str | None:
    if stream.capture_fps is None or stream.processed_fps is None:
        return None
    return f"{stream.processed_fps:.1f} of {stream.capture_fps:.1f} frames per second"


def _delay(stream: "StreamStatus") -> str | None:
    median, most = stream.delay_ms["p50"], stream.delay_ms["p95"]
    if median is None or most is None:
        return None
    return f"{median:,.0f} ms, 95 % below {most:,.0f} ms"


def _last_event(stream: "StreamStatus") -> str | None:
    event = stream.last_event
    if event is None:
        return None
    return f"{moment(event.at.astimezone().replace(microsecond=0))}: {event.detail}"
