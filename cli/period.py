"""Options for a time of a stream, and for the time zone in which its moments are written."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from cli.options import Duration

if TYPE_CHECKING:
    from results.read.parts import Period


class Moment(click.ParamType[datetime]):
    """`2026-05-01T14:05`, with an offset (`+02:00`, `Z`) or without one."""

    name = "time"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> datetime:
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is not a time; write 2026-05-01T14:05, or 2026-05-01T14:05+02:00.", parameter, context
            )


class Zone(click.ParamType[ZoneInfo]):
    """A name of the IANA database, as `Europe/Berlin`."""

    name = "zone"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> ZoneInfo:
        try:
            # Of these, writers of tables know nothing.
            if value in ("localtime", "posixrules", "Factory"):
                raise KeyError(value)
            return ZoneInfo(value)
        except (ValueError, OSError, KeyError):
            self.fail(f"{value!r} is not a known time zone; write UTC, or one as Europe/Berlin.", parameter, context)


def period_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--last`, `--until` and `--timezone`; `period_from` turns the first two into a `Period`."""
    for option in reversed(
        (
            click.option("--last", type=Duration(), help="Of a stream: the last 5m, 12h, 7d, up to now or --until."),
            click.option("--until", type=Moment(), help="Of a stream: before this time, such as 2026-05-01T14:05."),
            click.option(
                "--timezone",
                "zone",
                type=Zone(),
                help="Time zone of a stream's times, as Europe/Berlin.  [default: UTC; of a table this machine's]",
            ),
        )
    ):
        command = option(command)
    return command


def period_from(last: int | None, until: datetime | None, zone: tzinfo | None) -> "Period":
    """The chosen `Period`; an `until` without an offset is in `zone`, or in this machine's. Raises `UsageError`."""
    try:
        return _period(last, until, zone)
    except (ValueError, OverflowError):
        raise click.UsageError("The period lies beyond the years 1 to 9999.") from None


def _period(last: int | None, until: datetime | None, zone: tzinfo | None) -> "Period":
    from results.read.parts import Period

    if until is not None and until.tzinfo is None:
        until = until.replace(tzinfo=zone) if zone else until.astimezone()
    end = until or datetime.now(UTC)
    return Period(None if last is None else end - timedelta(milliseconds=last), until)
