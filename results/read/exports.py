"""The faces of a job as files for other programs, streamed: memory does not grow with their number."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, case, func, literal, select
from sqlalchemy.orm import Session

from results.emotions import AFFECT, EMOTIONS, affect
from results.read.face_filter import FaceFilter, filtered_faces
from results.read.parts import ALWAYS, Part, Period, moment_ms, part_of
from results.tables import Media

if TYPE_CHECKING:
    import polars

ROWS = 20_000
"""Rows in memory at once."""

EXCEL_ROWS = 1_048_575
"""Rows of an Excel sheet below its header."""

# A file name that looks like a formula or a link stays text.
EXCEL_OPTIONS = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}

WHOLE = ("media_id", "frame_index", "time_ms", "face_index", "track_id")
TEXTS = ("uri", "emotion")
COLUMNS = (
    "uri", *WHOLE, "x1", "y1", "x2", "y2", "detection_score", "emotion", "confidence", *EMOTIONS, "quality", "at",
    *AFFECT,
)  # fmt: skip
"""The columns of an export, in order: the medium's `uri`, those of `faces` that describe the face, its moment, affect.

`at` is empty except for streams; in Parquet a time, in other formats ISO 8601 with the offset of its zone. Valence and
arousal are the projection that `emotions.affect` describes.
"""
ISO = "%Y-%m-%dT%H:%M:%S%.3f%:z"

Target = Path | IO[bytes]
OnRows = Callable[[int], None]


def export_faces(
    session: Session,
    job_id: str,
    style: str,
    target: Target,
    *,
    face_filter: FaceFilter,
    media_id: int | None = None,
    period: Period = ALWAYS,
    zone: str = "UTC",
    on_rows: OnRows = lambda rows: None,
) -> None:
    """Writes the faces of a job, or of one of its media, as `csv`, `jsonl`, `parquet` or `xlsx`.

    `target` is a file's path or a file opened for bytes. `period` limits those of a stream; `zone` is the time zone of
    their moments, such as `Europe/Berlin`. `on_rows` gets the number of rows read since its last call.

    Raises:
        OSError: the file cannot be written.
        TimelineError: as `parts.part_of`.
    """
    part = part_of(session, job_id, media_id, period)
    found = batches(session, part, face_filter, zone, on_rows)
    if style == "xlsx":
        _write_excel(map(_with_text, found), target)
        return
    frame = _lazy(found, zone)
    frame = frame if style == "parquet" else frame.with_columns(_text())
    if style == "csv":
        frame.sink_csv(target)
    elif style == "jsonl":
        frame.sink_ndjson(target)
    else:
        # The rows of a group are in memory together.
        frame.sink_parquet(target, row_group_size=2 * ROWS)


def batches(
    session: Session,
    part: Part,
    face_filter: FaceFilter,
    zone: str = "UTC",
    on_rows: OnRows = lambda rows: None,
) -> Iterator["polars.DataFrame"]:
    """The filtered faces by medium, frame and face, in frames of at most `ROWS` rows; at least one frame."""
    import polars

    rows = session.execute(_statement(part, face_filter), execution_options={"yield_per": ROWS})
    as_read = schema(zone) | {"at": polars.Int64}
    moment = polars.col("at").cast(polars.Datetime("ms", "UTC")).dt.convert_time_zone(zone)
    yield polars.DataFrame([], schema=schema(zone))
    for each in rows.partitions():
        frame = polars.DataFrame([tuple(row) for row in each], schema=as_read, orient="row")
        yield frame.with_columns(moment)
        on_rows(len(each))


def count_faces(session: Session, job_id: str, face_filter: FaceFilter, period: Period = ALWAYS) -> int:
    """How many faces of a job pass the filter."""
    part = part_of(session, job_id, None, period)
    faces = filtered_faces(part, FaceFilter(face_filter.min_confidence, face_filter.min_quality))
    return session.scalars(select(func.count()).select_from(faces)).one()


def schema(zone: str = "UTC") -> Any:
    """The columns of an export with their polars types."""
    import polars

    whole, texts = dict.fromkeys(WHOLE, polars.Int64), dict.fromkeys(TEXTS, polars.String)
    others = {"at": polars.Datetime("ms", zone)}
    return {name: whole.get(name) or texts.get(name) or others.get(name) or polars.Float64 for name in COLUMNS}


def _text() -> "polars.Expr":
    """The moments in ISO 8601."""
    import polars

    return polars.col("at").dt.strftime(ISO)


def _with_text(frame: "polars.DataFrame") -> "polars.DataFrame":
    return frame.with_columns(_text())


def _statement(part: Part, face_filter: FaceFilter) -> Select[Any]:
    faces = filtered_faces(part, face_filter).c
    # Keys and times are those of the hour, as in `faces`.
    in_hour = faces.time_ms - moment_ms(literal(0)) if part.absolute else faces.time_ms
    moment = faces.time_ms if part.absolute else case((Media.kind == "stream", moment_ms(faces.time_ms)))
    shown: dict[str, ColumnElement[Any]] = {"uri": Media.__table__.c.uri, "time_ms": in_hour, "at": moment}
    shown |= {label.name: label for label in affect([faces[name] for name in EMOTIONS])}
    columns = [shown[name] if name in shown else faces[name] for name in COLUMNS]
    # The ids of a job's media are in their order, so the primary key gives this order without sorting.
    order = (faces.media_id, faces.frame_index, faces.face_index)
    return select(*columns).join_from(faces.media_id.table, Media, Media.id == faces.media_id).order_by(*order)


def _lazy(found: Iterator["polars.DataFrame"], zone: str) -> "polars.LazyFrame":
    from polars.io.plugins import register_io_source

    def source(columns: Any, predicate: Any, rows: Any, size: Any) -> Iterator["polars.DataFrame"]:
        return found

    return register_io_source(source, schema=schema(zone))


def _write_excel(found: Iterator["polars.DataFrame"], target: Target) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(target, EXCEL_OPTIONS) as book:
        sheet, line = _new_sheet(book), 0
        for row in (row for batch in found for row in batch.iter_rows()):
            if line == EXCEL_ROWS:
                sheet, line = _new_sheet(book), 0
            line += 1
            sheet.write_row(line, 0, row)


def _new_sheet(book: Any) -> Any:
    number = len(book.worksheets()) + 1
    sheet = book.add_worksheet("faces" if number == 1 else f"faces {number}")
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, 0, 40)
    sheet.write_row(0, 0, COLUMNS, book.add_format({"bold": True}))
    return sheet
