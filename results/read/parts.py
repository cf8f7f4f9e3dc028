"""Which part of a job is read, and on which axis of time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, Subquery, cast, select
from sqlalchemy.orm import Session

from results.columns import Base
from results.errors import TimelineError
from results.hours import HOUR_MS
from results.tables import Face, Frame, Job, Media


class Period(NamedTuple):
    """The time from `since` on and before `until`, both aware; None is no limit."""

    since: datetime | None = None
    until: datetime | None = None


ALWAYS = Period()


@dataclass(frozen=True, slots=True)
class Part:
    """A job, one of its media, those at the `positions` from the first to before the second, or a time of a stream.

    Times are milliseconds in their medium. With `absolute`, for a stream over its hours, they are milliseconds since
    1970 (UTC), and `since_ms` and `until_ms`, which is excluded, may limit them.
    """

    job_id: str
    media_id: int | None = None
    absolute: bool = False
    since_ms: int | None = None
    until_ms: int | None = None
    positions: tuple[int, int] | None = None

    def wider(self, ms: int) -> "Part":
        """The same, `ms` longer at both ends."""
        since = None if self.since_ms is None else self.since_ms - ms
        until = None if self.until_ms is None else self.until_ms + ms
        return replace(self, since_ms=since, until_ms=until)

    def within(self, time_ms: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """The conditions that such a time lies in this part."""
        conditions = [] if self.since_ms is None else [time_ms >= self.since_ms]
        return conditions + ([] if self.until_ms is None else [time_ms < self.until_ms])


def part_of(session: Session, job_id: str, media_id: int | None = None, period: Period = ALWAYS) -> Part:
    """A job over all its media, or one of them.

    Raises:
        TimelineError: a period of a job that is no stream, or that ends before it begins.
    """
    is_stream = session.scalar(select(Job.kind).where(Job.id == job_id)) == "stream"
    if period != ALWAYS and not is_stream:
        raise TimelineError("Only streams have a time of day; leave out --last and --until.")
    since_ms, until_ms = (None if at is None else round(at.timestamp() * 1000) for at in period)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise TimelineError("The period ends before it begins.")
    return Part(job_id, media_id, is_stream and media_id is None, since_ms, until_ms)


def media_of_part(session: Session, part: Part) -> Sequence[Media]:
    """The media of a job that did not fail, or the hours of a stream that lie in the part, wholly or not."""
    wanted = select(Media).where(Media.state != "failed", *hours_within(part)).order_by(Media.position)
    return session.scalars(wanted).all()


def media_ids(part: Part) -> Select[int]:
    """The ids of the media of a job, or of those at the part's positions."""
    found = select(Media.id).where(Media.job_id == part.job_id)
    if part.positions is None:
        return found
    first, end = part.positions
    return found.where(Media.position >= first, Media.position < end)


def moment_ms(time_ms: ColumnElement[int]) -> ColumnElement[int]:
    """A time in a stream's hour as milliseconds since 1970; `Media` must be joined."""
    return cast(Media.position, BigInteger) * HOUR_MS + time_ms


def hours_within(part: Part) -> list[ColumnElement[bool]]:
    """The conditions on `Media` that an hour of a stream lies in the part, wholly or not."""
    conditions: list[ColumnElement[bool]] = [Media.job_id == part.job_id]
    conditions += [] if part.since_ms is None else [Media.position >= part.since_ms // HOUR_MS]
    return conditions + ([] if part.until_ms is None else [Media.position <= (part.until_ms - 1) // HOUR_MS])


def frames_of(part: Part) -> Subquery:
    """The rows of `frames` of a part, with its times."""
    return _rows_of(Frame, part).subquery("part_frames")


def faces_of(part: Part) -> Select[Any]:
    """The rows of `faces` of a part, with its times."""
    return _rows_of(Face, part)


def _rows_of(table: type[Base], part: Part) -> Select[Any]:
    columns = table.__table__.c
    if part.media_id is not None:
        return select(*columns).where(columns.media_id == part.media_id)
    if not part.absolute:
        return select(*columns).where(columns.media_id.in_(media_ids(part)))
    moment = moment_ms(columns.time_ms)
    shown = [moment.label("time_ms") if column.name == "time_ms" else column for column in columns]
    hours = select(*shown).join(Media, Media.id == columns.media_id)
    return hours.where(*hours_within(part), *part.within(moment))
