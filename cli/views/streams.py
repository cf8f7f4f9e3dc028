"""Streams in the terminal: the table of all, the events of one, and a line for each second."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

from cli.views.terminal import print_table

if TYPE_CHECKING:
    from results.read.streams import StreamStatus
    from results.stream_tables import StreamEvent

Summary = Mapping[str, Any]


def print_streams(streams: "Sequence[StreamStatus]") -> None:
    """One row for each stream; on a terminal of 80 columns its last event wraps."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("name", "state", "fps in", "out", "delay ms", "skipped", "worker", "last event"):
        right = title in ("fps in", "out", "delay ms")
        table.add_column(title, justify="right" if right else "left", no_wrap=right or title in ("name", "state"))
    for each in streams:
        delays = f"{_number(each.delay_ms['p50'], 0)}/{_number(each.delay_ms['p95'], 0)}"
        speeds = _number(each.capture_fps), _number(each.processed_fps)
        figures = (*speeds, delays) if each.state == "live" else ("", "", "")
        table.add_row(each.name, each.state, *figures, _skipped(each.skipped), each.worker or "", _last(each))
    print_table(table)


def print_events(events: "Iterable[StreamEvent]") -> None:
    """One row for each event, its time in the zone of this machine."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("time", "event", "what happened"):
        table.add_column(title, no_wrap=title != "what happened")
    for event in events:
        table.add_row(local_time(event.at), event.kind.replace("_", " "), event.detail)
    print_table(table)


def live_line(summary: Summary) -> str:
    """A second of a stream in one line: when, who shows what, how fast."""
    moment = datetime.fromisoformat(summary["at"]).astimezone().strftime("%H:%M:%S")
    if summary["state"] != "live":
        return f"{moment}  {summary['state']}"
    delays = summary["delay_ms"]
    speed = f"{_number(summary['processed_fps'])} of {_number(summary['capture_fps'])} fps"
    if delays["p95"] is not None:
        speed += f", delay {delays['p50']:.0f}/{delays['p95']:.0f} ms"
    return f"{moment}  {_faces(summary):<24}  {speed}{_tracks(summary['tracks'])}"


def local_time(moment: datetime) -> str:
    """A time in the zone of this machine, to the second."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _faces(summary: Summary) -> str:
    if not summary["faces"] or summary["emotion"] is None:
        return "no face"
    count = f"{summary['faces']} face{'s' if summary['faces'] > 1 else ''}"
    return f"{count}  {summary['emotion']} {summary['means'][summary['emotion']]:.0%}"


def _tracks(tracks: Sequence[Summary]) -> str:
    ordered = sorted(tracks, key=lambda each: each["track_id"])
    words = [f"#{each['track_id']} {each['emotion']} {each['confidence']:.0%}" for each in ordered]
    return "  " + ", ".join(words) if words else ""


def _skipped(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{cause} {count:,}" for cause, count in skipped.items() if count) or "0"


def _last(status: "StreamStatus") -> str:
    """The last event; of a live stream without its details, which `stream events` has. Of one that waits, why."""
    if status.state == "waiting":
        return status.error or "no worker has room for it, or none runs"
    if (event := status.last_event) is None:
        return ""
    place = event.at.astimezone()
    is_today = place.date() == datetime.now().astimezone().date()
    words = f"{place.strftime('%H:%M:%S') if is_today else local_time(place)} {event.kind.replace('_', ' ')}"
    return words if status.state in ("live", "stopped") else f"{words}: {event.detail}"


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
