"""The faces of a job as files for other programs, streamed: memory does not grow with their number."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from results.emotions import EMOTIONS
from results.read.face_filter import FaceFilter, filtered_faces
from results.tables import Media

if TYPE_CHECKING:
    import polars

ROWS = 20_000
"""Rows in memory at once."""

EXCEL_ROWS = 1_048_575
"""Rows of an Excel sheet below its header."""

WHOLE = ("media_id", "frame_index", "time_ms", "face_index", "track_id")
TEXTS = ("uri", "emotion")
COLUMNS = (
    "uri", *WHOLE, "x1", "y1", "x2", "y2", "detection_score", "emotion", "confidence", *EMOTIONS, "quality",
)  # fmt: skip
"""The columns of an export, in order: those of `faces` that describe the face, and its medium's `uri`."""

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
    on_rows: OnRows = lambda rows: None,
) -> None:
    """Writes the faces of a job, or of one of its media, as `csv`, `jsonl`, `parquet` or `xlsx`.

    `target` is a file's path or a file opened for bytes. `on_rows` gets the number of rows read since its last call.

    Raises:
        OSError: the file cannot be written.
    """
    found = batches(session, job_id, face_filter, media_id, on_rows)
    if style == "xlsx":
        _write_excel(found, target)
        return
    frame = _lazy(found)
    if style == "csv":
        frame.sink_csv(target)
    elif style == "jsonl":
        frame.sink_ndjson(target)
    else:
        # The rows of a group are in memory together.
        frame.sink_parquet(target, row_group_size=2 * ROWS)


def batches(
    session: Session,
    job_id: str,
    face_filter: FaceFilter,
    media_id: int | None = None,
    on_rows: OnRows = lambda rows: None,
) -> Iterator["polars.DataFrame"]:
    """The filtered faces by medium, frame and face, in frames of at most `ROWS` rows; at least one frame."""
    import polars

    statement = _statement(job_id, face_filter, media_id)
    rows = session.execute(statement, execution_options={"yield_per": ROWS})
    yield polars.DataFrame([], schema=schema())
    for part in rows.partitions():
        yield polars.DataFrame([tuple(row) for row in part], schema=schema(), orient="row")
        on_rows(len(part))


def count_faces(session: Session, job_id: str, face_filter: FaceFilter) -> int:
    """How many faces of a job pass the filter."""
    faces = filtered_faces(job_id, FaceFilter(face_filter.min_confidence, face_filter.min_quality))
    return session.scalars(select(func.count()).select_from(faces)).one()


def schema() -> Any:
    """The columns of an export with their polars types."""
    import polars

    whole, texts = dict.fromkeys(WHOLE, polars.Int64), dict.fromkeys(TEXTS, polars.String)
    return {name: whole.get(name) or texts.get(name) or polars.Float64 for name in COLUMNS}


def _statement(job_id: str, face_filter: FaceFilter, media_id: int | None) -> Select[Any]:
    faces = filtered_faces(job_id, face_filter, media_id).c
    columns = [Media.uri if name == "uri" else faces[name] for name in COLUMNS]
    # The ids of a job's media are in their order, so the primary key gives this order without sorting.
    order = (faces.media_id, faces.frame_index, faces.face_index)
    return select(*columns).join_from(faces.media_id.table, Media, Media.id == faces.media_id).order_by(*order)


def _lazy(found: Iterator["polars.DataFrame"]) -> "polars.LazyFrame":
    from polars.io.plugins import register_io_source

    def source(columns: Any, predicate: Any, rows: Any, size: Any) -> Iterator["polars.DataFrame"]:
        return found

    return register_io_source(source, schema=schema())


def _write_excel(found: Iterator["polars.DataFrame"], target: Target) -> None:
    import xlsxwriter

    # A file name that looks like a formula or a link stays text.
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(target, options) as book:
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
