"""The application: Streamlit's pages, our routes, and the gate before both."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from web.errors import WebError
from web.gate import Gate
from web.parts.theme import THEME
from web.routes.boxes import boxes
from web.routes.exports import export
from web.routes.media import media
from web.server import open_server
from workers.settings import Settings

SCRIPT = Path(__file__).parent / "pages" / "script.py"
"""Not beside the folder: Streamlit would take each file of a folder `pages` there for a page of its own."""

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
    "logger.hideWelcomeMessage": True,
    "runner.magicEnabled": False,
    **THEME,
}
"""Streamlit's options. Those given here override its files and its variables."""


def make_app(settings: Settings, address: str) -> st.App:
    """The application, which is to listen at `address` of this machine.

    Raises:
        WebError: others could reach it without a password.
    """
    password, proxy = settings.web_password, proxy_header(settings)
    private = is_loopback(address)
    if not (private or password or proxy):
        raise WebError(
            f"{address} can be reached by others; set FER_WEB_PASSWORD to a password for the page, "
            "or leave --address at 127.0.0.1."
        )
    open_server(settings, is_private=private)
    gate = Middleware(Gate, password=password.get_secret_value() if password else None, proxy=proxy)
    return st.App(SCRIPT, routes=ROUTES, middleware=[gate], lifespan=_lifespan)


ROUTES = [
    Route("/fer/media/{number:int}", media, methods=["GET"]),
    Route("/fer/boxes/{number:int}", boxes, methods=["GET"]),
    Route("/fer/export/{number:int}/{style}", export, methods=["GET"]),
]


def run(settings: Settings, address: str, port: int) -> None:
    """Serves the page until Ctrl-C. Raises as `make_app`."""
    app = make_app(settings, address)
    # Streamlit takes the command's own arguments for those of the script, and its folder for that of the script.
    sys.argv = [str(SCRIPT)]
    app.run(config=OPTIONS | {"server.address": address, "server.port": port})


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach what listens at an address."""
    with suppress(ValueError):
        return ip_address(address).is_loopback
    return address == "localhost"


def proxy_header(settings: Settings) -> tuple[str, str] | None:
    """The name and value of the header that a proxy adds. Raises `WebError` if FER_WEB_PROXY_HEADER is malformed."""
    if settings.web_proxy_header is None:
        return None
    name, _, value = settings.web_proxy_header.get_secret_value().partition(":")
    if not name.strip() or len(value.strip()) < 16:
        raise WebError("FER_WEB_PROXY_HEADER must be NAME: SECRET, the secret of at least 16 characters.")
    return name.strip(), value.strip()


@asynccontextmanager
async def _lifespan(_: st.App) -> AsyncIterator[None]:
    # Streamlit puts the script's folder there, whose modules must not hide others of their names.
    with suppress(ValueError):
        sys.path.remove(str(SCRIPT.parent))
    yield
