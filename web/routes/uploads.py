"""Uploads of any size, written to the disk as they arrive: Streamlit's own would hold them in memory."""

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from web.errors import WebError
from web.server import this_server
from web.uploads import Uploads

BLOCK = 2**20


async def upload(request: Request) -> Response:
    """PUT: one file of a visit, by the visit's token and the file's name. Gives the file's `id`, `name` and `bytes`."""
    uploads = this_server().uploads
    try:
        path = uploads.new(request.path_params["token"], request.path_params["name"])
        await _write(request, path, uploads)
    except (WebError, OSError) as error:
        return JSONResponse({"error": str(error)}, 507)
    except ClientDisconnect:
        return Response(status_code=400)
    return JSONResponse({"id": path.parent.name, "name": path.name, "bytes": path.stat().st_size})


async def _write(request: Request, path: Path, uploads: Uploads) -> None:
    block = bytearray()
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            async for chunk in request.stream():
                block += chunk
                if len(block) >= BLOCK:
                    uploads.check_room()
                    await run_in_threadpool(file.write, block)
                    block = bytearray()
            await run_in_threadpool(file.write, block)
    except BaseException:
        path.unlink()
        path.parent.rmdir()
        raise
