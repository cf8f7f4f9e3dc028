"""A medium of the database, in byte ranges, so that a player can jump (RFC 9110, section 14)."""

import mimetypes
import re
from collections.abc import Iterator
from contextlib import ExitStack
from io import BufferedReader

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from fer_model.errors import UnreadableMediaError
from fer_model.sources.opening import open_media
from results.database import reading
from results.tables import Media
from web.server import this_server
from workers.batch.sources import submitted

CHUNK = 2**18


def media(request: Request) -> Response:
    """GET: a medium by its number. 404 if it is unknown, outside FER_MEDIA_ROOTS, gone, or not the analysed file."""
    server = this_server()
    with reading(server.database) as session:
        medium = _medium(session, request.path_params["number"])
    if medium is None:
        return PlainTextResponse("There is no such medium.", 404)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_media(medium.address, server.roots, submitted(medium)))
        except UnreadableMediaError as error:
            return PlainTextResponse(str(error), 404)
        kind = mimetypes.guess_type(medium.uri)[0] or ""
        kind = kind if kind.startswith(("video/", "image/", "audio/")) else "application/octet-stream"
        return _ranged(request, file, kind, stack.pop_all())


def _medium(session: Session, number: int) -> Media | None:
    medium = session.get(Media, number) if number < 2**31 else None
    return medium if medium and medium.kind in ("image", "video") else None


def _ranged(request: Request, file: BufferedReader, kind: str, opened: ExitStack) -> Response:
    size = file.seek(0, 2)
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, no-store"}
    wanted = byte_range(request.headers.get("range", ""), size)
    if wanted is None:
        opened.close()
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    first, last = wanted
    partial = request.headers.get("range", "").startswith("bytes=")
    headers |= {"Content-Length": str(last - first + 1)}
    headers |= {"Content-Range": f"bytes {first}-{last}/{size}"} if partial else {}
    body = _chunks(file, first, last + 1, opened)
    return StreamingResponse(body, 206 if partial else 200, headers, media_type=kind)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """The first and the last byte of a `Range` header's first range; None if it lies outside the file.

    Everything without such a header, or with one that is not understood.
    """
    match = re.match(r"bytes=(\d*)-(\d*)\s*(,|$)", header)
    if not match or not (match[1] or match[2]):
        return 0, size - 1
    if not match[1]:
        first, last = max(0, size - int(match[2])), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
    return (first, last) if first <= last else None


def _chunks(file: BufferedReader, start: int, end: int, opened: ExitStack) -> Iterator[bytes]:
    with opened:
        file.seek(start)
        while start < end and (chunk := file.read(min(CHUNK, end - start))):
            start += len(chunk)
            yield chunk
