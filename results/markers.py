"""What people mark on timelines: moments and intervals of a medium, with a label and a note."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import CheckConstraint, Index, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from results.columns import Base, MediaKey, Ms
from results.errors import MarkerError

LONGEST_LABEL, LONGEST_NOTE = 80, 500
LAST_MS = 2**53
"""The largest whole number that a browser writes exactly."""


class Marker(Base):
    """A marked moment, or the interval [time_ms, until_ms); in ms from the medium's beginning."""

    __tablename__ = "markers"
    __table_args__ = (CheckConstraint("until_ms > time_ms", name="interval"), Index(None, "media_id", "time_ms"))

    id: Mapped[int] = mapped_column(primary_key=True)
    media_id: Mapped[MediaKey]
    time_ms: Mapped[Ms]
    until_ms: Mapped[Ms | None]
    label: Mapped[str]
    note: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))


def add_marker(
    session: Session, media_id: int, time_ms: int, until_ms: int | None, label: str, note: str | None = None
) -> Marker:
    """Marks a moment, or with `until_ms` an interval.

    Raises:
        MarkerError: the label is empty, a text is too long, or the times are not in order.
        sqlalchemy.exc.IntegrityError: there is no such medium.
    """
    label, note = label.strip(), (note or "").strip()
    if not label or len(label) > LONGEST_LABEL or len(note) > LONGEST_NOTE:
        raise MarkerError(f"A marker has a label of 1 to {LONGEST_LABEL} characters and a note of {LONGEST_NOTE}.")
    if not 0 <= time_ms < (LAST_MS if until_ms is None else until_ms) <= LAST_MS:
        raise MarkerError("A marker begins within its medium and ends after it begins.")
    marker = Marker(media_id=media_id, time_ms=time_ms, until_ms=until_ms, label=label, note=note or None)
    session.add(marker)
    session.flush()
    return marker


def markers_of(session: Session, media_id: int) -> Sequence[Marker]:
    """The markers of a medium, in the order of time."""
    return session.scalars(select(Marker).where(Marker.media_id == media_id).order_by(Marker.time_ms, Marker.id)).all()


def delete_markers(session: Session, media_id: int, numbers: Sequence[int]) -> None:
    """Deletes these markers of a medium; those that are gone already are no error."""
    session.execute(delete(Marker).where(Marker.media_id == media_id, Marker.id.in_(numbers)))
