"""Connections to servers that are not trusted: no inner addresses, and a limit on the time of an answer's head."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from http.client import HTTPException
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from math import inf
from threading import Timer
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.response import HTTPResponse

HEAD_S = 30.0
"""Seconds for an answer's status line and headers: a server may send a byte at a time, each within its timeout."""

# Its messages quote whole URLs, with signatures, also of servers' malformed answers.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052


class InnerAddressError(Exception):
    """A host is loopback, link-local, private or otherwise not of the public internet."""


class Client(requests.Session):
    """A session whose requests all have to be done by `until`, on the clock of `time.monotonic`."""

    until: float = inf

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests would parse each target, and leave the connection open where it cannot."""


def client(any_address: bool, within_s: float) -> Client:
    """A session without ~/.netrc; unless `any_address`, it raises `InnerAddressError` before it connects to such a one.

    Every address of a host is resolved and checked, and the connection goes to the address that was checked (a second
    look-up could give another one). Behind a proxy, the proxy connects: then the addresses that this machine knows are
    checked.
    """
    made = Client()
    made.until = monotonic() + within_s
    if not os.environ.get("NETRC"):
        # Without `auth`, requests would read ~/.netrc: credentials come from the environment alone.
        made.auth = lambda request: request
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter(any_address))
    return made


def outer_addresses(host: str, port: int | None) -> list[str]:
    """The addresses of a host. Raises `InnerAddressError` if one of them is inner, and `OSError` if there is none."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    addresses = [str(place[0]) for *_, place in found]
    if any(is_inner(address) for address in addresses):
        raise InnerAddressError
    return addresses


def is_inner(address: str) -> bool:
    """Whether a numeric address, also one that stands within an IPv6 address, is not of the public internet."""
    known = ip_address(address.partition("%")[0])
    return any(not each.is_global or each.is_multicast for each in (known, *_within(known)))


def _within(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses to which an IPv6 address leads: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, IPv4Address):
        return []
    nat64 = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    found = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()), nat64)
    return [each for each in found if each is not None]


class _Timed(HTTPConnection):
    """Gives up on an answer whose head takes longer than `HEAD_S`."""

    _gave_up = False

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as urllib3's own
        timer = Timer(HEAD_S, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            answer = super().getresponse()
        except (OSError, HTTPException) as error:
            raise TimeoutError if self._gave_up else error from None
        finally:
            timer.cancel()
        if self._gave_up:  # a head that ends too early is taken for a whole one
            raise TimeoutError
        return answer

    def _give_up(self) -> None:
        self._gave_up = True
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class _Outer(_Timed):
    """Connects to addresses of the public internet only."""

    def _new_conn(self) -> socket.socket:
        host = self._dns_host
        error: NewConnectionError | ConnectTimeoutError = NewConnectionError(self, "no address")
        try:
            for address in outer_addresses(host, self.port):
                self._dns_host = address
                try:
                    return super()._new_conn()
                except (NewConnectionError, ConnectTimeoutError) as failed:
                    error = failed
            raise error
        finally:
            self._dns_host = host


class _Adapter(HTTPAdapter):
    def __init__(self, any_address: bool) -> None:
        self._any_address = any_address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        guard = _Timed if self._any_address else _Outer
        http = type("Connection", (guard,), {})
        https = type("Connection", (guard, HTTPSConnection), {})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": http}),
            "https": type("Pool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
        }

    def send(self, request: requests.PreparedRequest, *arguments: Any, **named: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        if not self._any_address and select_proxy(request.url or "", named.get("proxies")) and parts.hostname:
            with suppress(OSError):  # names that only the proxy knows
                outer_addresses(parts.hostname, parts.port)
        return super().send(request, *arguments, **named)
