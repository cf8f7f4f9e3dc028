"""The gate before every page, websocket and route: password, signed cookie, Host and Origin. Knows no Streamlit."""

import hmac
import os
from contextlib import suppress
from ipaddress import IPv6Network, ip_address
from urllib.parse import parse_qs, quote, urlsplit

from itsdangerous import BadSignature, TimestampSigner
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnected

from web.attempts import Attempts
from web.login_page import login_page

LOGIN = "/fer/login"
COOKIE = "fer_session"
SESSION_S = 12 * 3600
"""Seconds after which the password is asked for again."""

LONGEST_FORM = 4096
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    # No other site may frame the page, and nothing in it may load from, or connect to, another server.
    b"content-security-policy": b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}


class Gate:
    """ASGI middleware that lets a request or a websocket pass if it comes from this page and has the right.

    With `password`, that is a session cookie, signed with a key of this process. With `proxy`, a header's name and
    secret value, it is that header, which an authenticating proxy adds. With neither everyone passes, so the server
    has to listen at the loopback interface alone; then only its names are accepted as Host (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, password: str | None = None, proxy: tuple[str, str] | None = None) -> None:
        self._app, self._password, self._proxy = app, password, proxy
        self._signer = TimestampSigner(os.urandom(32))
        self._attempts = Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif refusal := self._refusal(HTTPConnection(scope)):
            await _refuse(refusal, scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == LOGIN and self._password:
            await (await self._login(Request(scope, receive)))(scope, receive, _with_headers(send))
        elif not self._may_pass(HTTPConnection(scope)):
            await _refuse(self._unknown(HTTPConnection(scope)), scope, receive, send)
        else:
            # Streamlit closes websockets that are closed already.
            with suppress(WebSocketDisconnected):
                await self._app(scope, receive, _with_headers(send))

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        """Why a connection is refused before any password; the same for all visitors."""
        if not (self._password or self._proxy) and _host_name(connection) not in LOOPBACK:
            return PlainTextResponse("This page is served under the name localhost only.", 403)
        if not _is_from_this_page(connection):
            return PlainTextResponse("Requests of other sites are refused.", 403)
        return None

    def _may_pass(self, connection: HTTPConnection) -> bool:
        if self._proxy and _same(connection.headers.get(self._proxy[0], ""), self._proxy[1]):
            return True
        if not self._password:
            return not self._proxy
        try:
            self._signer.unsign(connection.cookies.get(COOKIE, ""), max_age=SESSION_S)
        except BadSignature:
            return False
        return True

    def _unknown(self, connection: HTTPConnection) -> Response:
        if self._password and "text/html" in connection.headers.get("accept", ""):
            wanted = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
            return RedirectResponse(f"{LOGIN}?next={quote(wanted)}", 303)
        return PlainTextResponse("A login is required.", 401)

    async def _login(self, request: Request) -> Response:
        wanted = _own_path(request.query_params.get("next", "/"))
        if request.method != "POST":
            return HTMLResponse(login_page(wanted))
        visitor = _visitor(request)
        if wait_s := self._attempts.wait_s(visitor):
            words = f"Too many attempts. Wait {wait_s} seconds."
            return HTMLResponse(login_page(wanted, words), 429, {"Retry-After": str(wait_s)})
        if not _same(await _password_of(request), self._password or ""):
            self._attempts.failed(visitor)
            return HTMLResponse(login_page(wanted, "That is not the password."), 403)
        answer = RedirectResponse(wanted, 303)
        session, secure = self._signer.sign("in").decode(), request.url.scheme == "https"
        answer.set_cookie(COOKIE, session, SESSION_S, httponly=True, samesite="strict", secure=secure)
        return answer


async def _refuse(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        # Before it is accepted: the server answers the handshake with 403.
        await send({"type": "websocket.close", "code": 1008})
    else:
        await answer(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in HEADERS.items() if name not in given]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return wrapped


def _is_from_this_page(connection: HTTPConnection) -> bool:
    """By `Origin`, which browsers send with websockets and posts, else by `Sec-Fetch-Site`; programs send neither."""
    origin = connection.headers.get("origin")
    if origin is not None:
        try:
            return urlsplit(origin).netloc.lower() == connection.headers.get("host", "").lower()
        except ValueError:
            return False
    if connection.headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return True
    # A link on another site.
    return connection.headers.get("sec-fetch-mode") == "navigate" and connection.scope.get("method") == "GET"


def _host_name(connection: HTTPConnection) -> str | None:
    try:
        return urlsplit(f"//{connection.headers.get('host', '')}").hostname
    except ValueError:
        return None


def _own_path(wanted: str) -> str:
    """A path of this server; `/` for what a browser would take for another server."""
    return wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) else "/"


def _visitor(request: Request) -> str:
    """The client's address; of IPv6 its network, in which one client has many."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(IPv6Network((address, 64), strict=False)) if address.version == 6 else host


async def _password_of(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return ""
    return parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())
