"""A timeline as a table for the terminal."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.table import Table
from rich.text import Text

from cli.views.terminal import NARROWEST, print_table, safe_text, terminal
from fer_model.rendering.palette import hex_colour
from results.emotions import AFFECT, EMOTIONS
from results.printable import shown
from results.read.times import exact_clock, moment

if TYPE_CHECKING:
    from sqlalchemy import Engine as Database

Row = dict[str, Any]

TITLES = ("file", "time", "faces", "emotion", "mean")
NUMBERS = ("time", "faces", *AFFECT)
FIRST_ROWS = 40
ROWS = 1000
"""Rows that Rich lays out at once: it takes 5 kB and most of a millisecond for each, and prints none until all are."""

GAP = 2
NARROWEST_NAME = 12
BARS = (10, 30)
"""The shortest and the longest length of a full bar, in characters."""


def print_first_rows(database: "Database", job_id: str) -> None:
    """A job's timeline by second, its first rows."""
    from results.database import reading
    from results.read.timelines import timeline

    with reading(database) as session:
        print_rows(timeline(session, job_id), limit=FIRST_ROWS)


def print_rows(
    rows: Iterator[Row], limit: int | None = None, *, stream: str | None = None, zone: tzinfo | None = None
) -> None:
    """The rows on stdout, or the first `limit` of them and how many more there are.

    `stream` is the name of the stream, if it is one; its times are in `zone`, None for this machine's.
    """
    console = terminal()
    if stream is not None:
        rows = (row | {"uri": stream, "at": row["at"].astimezone(zone)} for row in rows)
    first = [row for _, row in zip(range(limit), rows, strict=False)] if limit is not None else list(rows)
    if not first:
        console.print("No rows.")
    for table in timeline_tables(first, max(console.width, NARROWEST)):
        print_table(table)
    if more := sum(1 for _ in rows):
        console.print(f"… and {more:,} more rows:", safe_text("fer-batch timeline", "bold"))


def timeline_tables(rows: Sequence[Row], width: int) -> Iterator[Table]:
    """A table that fits a terminal of `width` columns, from `NARROWEST` on, in parts of `ROWS` rows one below another.

    Names are shortened in the middle if they must be; what names leave over, up to a limit, goes to the bars. Rows with
    affect show it in place of the second emotion.
    """
    titles = (*TITLES, *(AFFECT if rows and AFFECT[0] in rows[0] else ("then",)))
    cells = [(*_name(row), *_figures(row)) for row in rows]
    others = [_widest(title, [row[n] for row in cells]) for n, title in enumerate(titles[1:], start=2)]
    left = width - sum(others) - GAP * (len(titles) - 1) - BARS[0] - 1
    names = max(_widest("file", [name + track for name, track, *_ in cells]), NARROWEST_NAME)
    bar = BARS[0] + max(0, min(BARS[1] - BARS[0], left - names))
    widths = dict(zip(titles, (min(names, max(left, NARROWEST_NAME)), *others), strict=True))
    widths["mean"] += bar + 1
    for start in range(0, len(rows), ROWS):
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0), show_header=start == 0)
        for title, least in widths.items():
            table.add_column(title, justify="right" if title in NUMBERS else "left", no_wrap=True, min_width=least)
        part = slice(start, start + ROWS)
        for row, (name, track, time, faces, emotion, mean, *more) in zip(rows[part], cells[part], strict=True):
            shortened = shorten(name, max(left, NARROWEST_NAME) - cell_len(track)) + track
            word = Text(emotion, "dim" if row["emotion"] is None else "")
            table.add_row(Text(shortened), time, faces, word, _bar(row, bar, mean), *more)
        yield table


def shorten(name: str, width: int) -> str:
    """`name` in at most `width` columns of a terminal; `…` replaces the middle, as names mostly differ at the end."""
    if cell_len(name) <= width:
        return name
    end = len(name)
    while end > 0 and cell_len(name[end - 1 :]) <= (width - 1) // 2:
        end -= 1
    return set_cell_size(name, width - 1 - cell_len(name[end:])) + "…" + name[end:]


def _name(row: Row) -> tuple[str, str]:
    track = "" if row["track_id"] is None else f" #{row['track_id']}"
    return shown(Path(row["uri"]).name) if row["uri"] else "all files", track


def _figures(row: Row) -> tuple[str, ...]:
    time = exact_clock(row["start_ms"]) if row["at"] is None else moment(row["at"])
    place = time, f"{row['faces']:,}"
    affect = [row[name] for name in AFFECT if name in row]
    if row["emotion"] is None:
        return *place, "no face", "", *[""] * max(1, len(affect))
    first, second = sorted(EMOTIONS, key=lambda emotion: -row[emotion])[:2]
    more = [f"{value:+.2f}" for value in affect] or [f"{second} {row[second]:.0%}"]
    return *place, first, f"{row[first]:.0%}", *more


def _bar(row: Row, length: int, mean: str) -> Text:
    if row["emotion"] is None:
        return Text()
    emotion = max(EMOTIONS, key=lambda name: row[name])
    filled = round(row[emotion] * length)
    # The colours of the report and of annotated media, which a terminal with fewer colours approximates. Only bars
    # have them: words stay in the terminal's own colour, which is readable on its background, as yellow may not be.
    return Text.assemble(("█" * filled, Style(color=hex_colour(emotion))), f"{'':{length - filled}} {mean:>4}")


def _widest(title: str, cells: Iterable[str]) -> int:
    return max(map(cell_len, (title, *cells)))
