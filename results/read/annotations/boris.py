"""Events for BORIS, as it imports them into an open observation (`import_observations.py` of BORIS 9)."""

from collections.abc import Iterator
from typing import IO

from results.errors import TimelineError
from results.read.annotations.tiers import Annotated
from results.read.exports import EXCEL_OPTIONS, EXCEL_ROWS

COLUMNS = ("time", "subject", "code", "modifier", "comment")

Event = tuple[float, str, str, str, str]


def write_boris(video: Annotated, target: IO[bytes]) -> None:
    """Writes the events as XLSX, on one sheet: BORIS reads the first only.

    Raises:
        TimelineError: there are more events than a sheet has rows.
        OSError: the file cannot be written.
    """
    import xlsxwriter

    found = sorted(events(video), key=lambda event: event[0])
    if len(found) > EXCEL_ROWS:
        raise TimelineError(f"{video.uri}: {len(found):,} events do not fit on a sheet; smooth more with --smooth.")
    with xlsxwriter.Workbook(target, EXCEL_OPTIONS) as book:
        sheet = book.add_worksheet("events")
        for line, row in enumerate((COLUMNS, *found)):
            sheet.write_row(line, 0, row)


def events(video: Annotated) -> Iterator[Event]:
    """State events, two rows each (start and stop), and one row for a marked moment; times in seconds.

    The subject of a span is its track and the code its emotion; a marker has no subject, and its code is its label.
    """
    for track, spans in video.tracks.items():
        for span in spans:
            for time_ms in (span.start_ms, span.end_ms):
                yield time_ms / 1000, f"track {track}", span.emotion, "", ""
    for mark in video.marks:
        for moment in (mark.time_ms, mark.until_ms):
            if moment is not None:
                yield moment / 1000, "", mark.label, "", mark.note
