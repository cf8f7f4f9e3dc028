"""The tables of streams, beside `results.tables`; they are a public interface too."""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from results.columns import Base, JobKey, MediaKey, one_of

STREAM_STATES = ("waiting", "connecting", "live", "reconnecting", "stopped")
STREAM_EVENTS = ("connected", "lost", "resumed", "clock", "resolution", "degraded", "taken_over", "stopped")
CLOCKS = ("rtcp", "arrival")

WEBCAM = "webcam:"
"""The address of what the web page records of a visitor's webcam, which no worker could open."""


class Stream(Base):
    """A stream, one to each job of kind `stream`; `uri` has no login.

    `appends` counts the appends that were committed, so that one whose acknowledgement was lost is recognised. `state`
    and the figures are those that its worker wrote last; `read.streams` knows whether that worker still lives.
    """

    __tablename__ = "streams"
    __table_args__ = (one_of("state", STREAM_STATES), one_of("clock", CLOCKS))

    job_id: Mapped[JobKey] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    uri: Mapped[str]
    next_track_id: Mapped[int] = mapped_column(default=0, server_default="0")
    appends: Mapped[int] = mapped_column(default=0, server_default="0")
    state: Mapped[str] = mapped_column(default="waiting")
    clock: Mapped[str | None]
    capture_fps: Mapped[float | None]
    processed_fps: Mapped[float | None]
    delay_p50_ms: Mapped[float | None]
    delay_p95_ms: Mapped[float | None]
    skipped_stale: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    skipped_decode: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    skipped_overload: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    reconnects: Mapped[int] = mapped_column(default=0, server_default="0")
    updated_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))


class StreamLogin(Base):
    """The login of a stream's source, in a table of its own, so that readers of the others can be kept from it."""

    __tablename__ = "stream_logins"

    job_id: Mapped[JobKey] = mapped_column(primary_key=True)
    username: Mapped[str]
    password: Mapped[str | None]


class StreamEvent(Base):
    """Something that happened to a stream; `detail` is one sentence, without a login."""

    __tablename__ = "stream_events"
    __table_args__ = (Index(None, "media_id", "at"), one_of("kind", STREAM_EVENTS))

    id: Mapped[int] = mapped_column(primary_key=True)
    media_id: Mapped[MediaKey]
    at: Mapped[datetime]
    kind: Mapped[str]
    detail: Mapped[str]
