"""A medium's results as a file, written to disk first: memory does not grow with the number of faces."""

import tempfile
from collections.abc import Iterator
from typing import IO
from urllib.parse import quote

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from results.database import reading
from results.errors import TimelineError
from results.read.annotations.tiers import SUFFIXES
from results.read.annotations.writing import write_annotations
from results.read.exports import export_faces
from results.read.face_filter import FaceFilter
from results.read.subtitles import SMOOTH_S
from results.tables import Media
from web.parts.names import download_stem
from web.server import this_server

TABLES = ("csv", "parquet")
CHUNK = 2**18


def export(request: Request) -> Response:
    """GET: a medium's faces as `csv` or `parquet`, or its tracks and markers as `eaf`, `textgrid` or `boris`."""
    number, style = request.path_params["number"], request.path_params["style"]
    with reading(this_server().database) as session:
        medium = session.get(Media, number) if number < 2**31 else None
        if medium is None or style not in (*TABLES, *SUFFIXES):
            return PlainTextResponse("There is no such medium or format.", 404)
        file = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            _write(session, medium, style, file)
        except TimelineError as error:
            file.close()
            return PlainTextResponse(str(error), 409)
        name = download_stem(session, medium) + SUFFIXES.get(style, f".{style}")
    headers = {
        "Content-Length": str(file.tell()),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(_chunks(file), headers=headers, media_type="application/octet-stream")


def _write(session: Session, medium: Media, style: str, file: IO[bytes]) -> None:
    if style in TABLES:
        export_faces(session, medium.job_id, style, file, face_filter=FaceFilter(), media_id=medium.id)
    else:
        write_annotations(session, medium, style, file, FaceFilter(smooth_s=SMOOTH_S))
    file.seek(0, 2)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while chunk := file.read(CHUNK):
            yield chunk
