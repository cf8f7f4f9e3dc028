"""The faces of some seconds of a video, which a player draws while it plays."""

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from results.database import reading
from results.read.sections import boxes as boxes_of
from web.server import this_server

LONGEST_MS = 60_000


def boxes(request: Request) -> Response:
    """GET with `since` and `until` in ms: each processed frame's time and faces, as `sections.boxes`."""
    try:
        since_ms, until_ms = (int(request.query_params[name]) for name in ("since", "until"))
    except (KeyError, ValueError):
        return PlainTextResponse("since and until are milliseconds.", 400)
    if not 0 <= since_ms < until_ms <= min(since_ms + LONGEST_MS, 2**53):
        return PlainTextResponse(f"A part lasts at most {LONGEST_MS} milliseconds.", 400)
    number = request.path_params["number"]
    if number >= 2**31:
        return PlainTextResponse("There is no such medium.", 404)
    with reading(this_server().database) as session:
        found = boxes_of(session, number, since_ms, until_ms)
    return JSONResponse({"frames": found}, headers={"Cache-Control": "private, no-store"})
