"""Streams at one moment: what they do, how fast, and what happened to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from results.jobs import UNFINISHED, utc_now
from results.leases import STREAM_LEASE_S
from results.stream_tables import Stream, StreamEvent
from results.streams import get_stream
from results.tables import Job, Media, Shard

FIGURES = ("capture_fps", "processed_fps", "delay_p50_ms", "delay_p95_ms")


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A stream at one moment.

    `state` is `waiting` while no living worker has it. Figures are None unless it is live; those in `skipped` and
    `reconnects` are totals. `rows` are those written to `frames` and `faces` since it was added. `error` is why its
    last worker lost it, None if it was taken up since.
    """

    name: str
    job: str
    uri: str
    state: str
    clock: str | None
    capture_fps: float | None
    processed_fps: float | None
    skipped: dict[str, int]
    delay_ms: dict[str, float | None]
    reconnects: int
    rows: int
    worker: str | None
    last_event: StreamEvent | None
    error: str | None

    def as_dict(self) -> dict[str, Any]:
        """What `stream list --json` prints of it."""
        names = ("name", "state", "capture_fps", "processed_fps", "skipped", "delay_ms", "rows", "worker")
        event = None if self.last_event is None else event_as_dict(self.last_event)
        more = {name: getattr(self, name) for name in ("job", "uri", "clock", "reconnects", "error")}
        return {name: getattr(self, name) for name in names} | {"last_event": event} | more


def event_as_dict(event: StreamEvent) -> dict[str, Any]:
    """An event for JSON."""
    return {"at": event.at.isoformat(), "kind": event.kind, "detail": event.detail}


def stream_statuses(session: Session, job_id: str | None = None) -> list[StreamStatus]:
    """All streams by name, in two statements; with `job_id` that one, if it is a stream."""
    wanted = select(Stream, Job.state, Shard).join(Job, Job.id == Stream.job_id).join(Shard, Shard.job_id == Job.id)
    rows = session.execute((wanted.where(Job.id == job_id) if job_id else wanted).order_by(Stream.name)).all()
    events = _last_events(session, job_id)
    alive_since = utc_now(session) - timedelta(seconds=STREAM_LEASE_S)
    return [_status(stream, state, shard, events.get(stream.job_id), alive_since) for stream, state, shard in rows]


def events_of(session: Session, name: str, limit: int) -> Sequence[StreamEvent]:
    """The events of a stream, newest first. Raises `UnknownStreamError`."""
    job_id = get_stream(session, name).job_id
    wanted = select(StreamEvent).join(Media, Media.id == StreamEvent.media_id).where(Media.job_id == job_id)
    return session.scalars(wanted.order_by(StreamEvent.at.desc(), StreamEvent.id.desc()).limit(limit)).all()


def _status(
    stream: Stream, job_state: str, shard: Shard, event: StreamEvent | None, alive_since: datetime
) -> StreamStatus:
    held = shard.state == "running" and shard.heartbeat_at is not None and shard.heartbeat_at > alive_since
    state = stream.state if held else "waiting" if job_state in UNFINISHED else "stopped"
    figures = {name: getattr(stream, name) if state == "live" else None for name in FIGURES}
    return StreamStatus(
        name=stream.name,
        job=stream.job_id,
        uri=stream.uri,
        state=state,
        clock=stream.clock,
        capture_fps=figures["capture_fps"],
        processed_fps=figures["processed_fps"],
        skipped={cause: getattr(stream, f"skipped_{cause}") for cause in ("stale", "decode", "overload")},
        delay_ms={"p50": figures["delay_p50_ms"], "p95": figures["delay_p95_ms"]},
        reconnects=stream.reconnects,
        rows=shard.frames + shard.faces,
        worker=shard.worker if held else None,
        last_event=event,
        error=shard.error,
    )


def _last_events(session: Session, job_id: str | None) -> dict[str, StreamEvent]:
    newest = (
        select(Media.job_id, func.max(StreamEvent.id).label("id"))
        .join(StreamEvent, StreamEvent.media_id == Media.id)
        .where(Media.kind == "stream", *([Media.job_id == job_id] if job_id else []))
        .group_by(Media.job_id)
        .subquery()
    )
    rows = session.execute(select(newest.c.job_id, StreamEvent).join(StreamEvent, StreamEvent.id == newest.c.id))
    return {row[0]: row[1] for row in rows}
