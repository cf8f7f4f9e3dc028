"""One way to write positions in a medium, for the terminal, subtitles and the report."""

from datetime import datetime


def clock(ms: int) -> str:
    """A position to the second, rounded down: 1:05, and 2:01:05 from an hour on."""
    hours, minutes, seconds, _ = _parts(ms)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def exact_clock(ms: int) -> str:
    """A position to the millisecond: 0:00:07, and 0:00:07.500 where it is not a whole second."""
    hours, minutes, seconds, rest = _parts(ms)
    return f"{hours}:{minutes:02}:{seconds:02}" + (f".{rest:03}" if rest else "")


def timestamp(ms: int, point: str) -> str:
    """A position as subtitles have it: 00:00:07.500 in WebVTT; `point` is the decimal sign, a comma in SubRip."""
    hours, minutes, seconds, rest = _parts(ms)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{rest:03}"


def moment(at: datetime) -> str:
    """A moment in its own time zone: 2026-05-01 14:05:07, and 2026-05-01 14:05:07.500 where it is no whole second."""
    return at.replace(tzinfo=None).isoformat(" ", "milliseconds" if at.microsecond else "seconds")


def _parts(ms: int) -> tuple[int, int, int, int]:
    """Hours, minutes, seconds and milliseconds."""
    seconds, rest = divmod(ms, 1000)
    return seconds // 3600, seconds // 60 % 60, seconds % 60, rest
