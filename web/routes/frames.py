"""Frames of a webcam posted as JPEG: for visitors whose network lets no WebRTC through."""

from io import BytesIO
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fer_model.errors import UnreadableMediaError
from fer_model.sources.images import decode_reduced
from web.live import Watch
from web.server import this_server

LARGEST = 2**20
MOST_PIXELS = 1920 * 1080


async def frame(request: Request) -> Response:
    """POST: one frame of a visit, by the visit's token. Gives its faces; `dropped` if another is being looked at."""
    watch = this_server().watches.get(request.path_params["token"])
    if watch is None:
        return JSONResponse({"error": "The visit has ended; reload the page."}, 404)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            return JSONResponse({"error": "The frame is too large."}, 413)
    try:
        return JSONResponse(await run_in_threadpool(_seen, watch, body))
    except UnreadableMediaError as error:
        return JSONResponse({"error": str(error)}, 400)


def _seen(watch: Watch, body: bytes) -> dict[str, Any]:
    picture, _ = decode_reduced(BytesIO(body), "frame", MOST_PIXELS)
    faces = watch.look(picture)
    if faces is None:
        return {"dropped": True}
    return {"faces": [{"box": face.box, "emotion": face.emotion, "confidence": face.confidence} for face in faces]}
