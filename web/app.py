"""The application: Streamlit's pages, our routes, and the gate before both."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from web.access import check_access, is_private, proxy_header
from web.gate import Gate
from web.parts.failures import OURS
from web.parts.names import plain
from web.parts.theme import THEME
from web.routes.boxes import boxes
from web.routes.exports import export
from web.routes.frames import frame
from web.routes.media import media
from web.routes.uploads import upload
from web.server import open_server, this_server
from workers.settings import Settings

SCRIPT = Path(__file__).parent / "entry" / "script.py"

OPTIONS: dict[str, Any] = {
    "server.headless": True,
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.enableAgentApi": False,
    "server.fileWatcherType": "none",
    "server.maxUploadSize": 200,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "logger.hideWelcomeMessage": True,
    "runner.magicEnabled": False,
    # It holds the interpreter for a tenth of a second and more after every run, also of fragments that a timer draws.
    "runner.postScriptGC": False,
    **THEME,
}
"""Streamlit's options. Those given here override its files and its variables."""


def make_app(settings: Settings, address: str, on_ready: Callable[[], None]) -> st.App:
    """The application, which is to listen at `address` of this machine.

    Raises:
        WebError: others could reach it without a password.
    """
    check_access(settings, address)
    open_server(settings, is_private=is_private(settings, address))
    password = settings.web_password.get_secret_value() if settings.web_password else None
    gate = Middleware(Gate, password=password, proxy=proxy_header(settings))
    return st.App(
        SCRIPT, routes=ROUTES, middleware=[gate], lifespan=_lifespan(on_ready), on_script_error=_in_a_sentence
    )


ROUTES = [
    Route("/fer/media/{number:int}", media, methods=["GET"]),
    Route("/fer/frames/{token}", frame, methods=["POST"]),
    Route("/fer/uploads/{token}/{name}", upload, methods=["PUT"]),
    Route("/fer/boxes/{number:int}", boxes, methods=["GET"]),
    Route("/fer/export/{number:int}/{style}", export, methods=["GET"]),
]


def run(settings: Settings, address: str, port: int, on_ready: Callable[[], None]) -> None:
    """Serves the page until Ctrl-C. Raises as `make_app`."""
    app = make_app(settings, address, on_ready)
    # Streamlit takes the command's own arguments for those of the script, and its folder for that of the script.
    sys.argv = [str(SCRIPT)]
    app.run(config=OPTIONS | {"server.address": address, "server.port": port})


def _in_a_sentence(error: Exception) -> bool:
    """Shows an error of ours on the page; True if it was one."""
    if not isinstance(error, OURS):
        return False
    st.error(plain(str(error)))
    return True


def _lifespan(on_ready: Callable[[], None]) -> Callable[[st.App], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def living(_: st.App) -> AsyncIterator[None]:
        server = this_server()
        for work in (server.warm_up, server.end_abandoned):
            Thread(target=work, name=work.__name__, daemon=True).start()
        on_ready()
        yield
        server.close()

    return living
