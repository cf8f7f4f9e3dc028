"""Files on web servers, read by range requests."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.client import responses
from time import monotonic
from urllib.parse import urljoin

import requests
import urllib3

from fer_model.errors import TransientMediaError, UnreadableMediaError
from fer_model.sources.connecting import Client, InnerAddressError, client
from fer_model.sources.files import check_remote, masked
from fer_model.sources.remote import BLOCK, TIMEOUT_S, TOO_SLOW, AgainError, RemoteFile, retried
from fer_model.sources.roots import check_permitted

REDIRECTS = 5
MAX_WHOLE = 2**31
"""The most bytes fetched from a server without range requests."""

LARGEST = 2**43
"""The largest file in bytes, 8 TiB: a server may claim any size."""

PATIENCE_S, SLOWEST = 30.0, 2**14
"""An answer gets so many seconds, and one more for each so many bytes: a server may send a byte at a time."""

LONGEST_URL = 4096
"""Characters of a redirect's target."""

LONGEST_ETAG = 200
"""Characters of an ETag that are kept."""

INNER = "leads to an inner address (loopback, private, link-local); to permit it, name its host in FER_MEDIA_ROOTS"


def open_http(url: str, roots: Sequence[str], within_s: float) -> RemoteFile:
    """The file at a URL, which has to arrive in so many seconds. Without range requests it is fetched whole, into a
    temporary file.

    Raises:
        UnreadableMediaError: the server has no such file, refuses it, or redirects to outside of `roots`; without
            `roots`, also if the URL or a redirect leads to an inner address.
        TransientMediaError: the server cannot be reached, sends too slowly, or the connection breaks.
    """
    name = masked(url)
    # With roots, only hosts that they name get this far.
    server = client(bool(roots), within_s)
    try:
        return retried(name, lambda: _begun(server, url, name, roots), server.until)
    except BaseException:
        server.close()
        raise


def _begun(server: Client, url: str, name: str, roots: Sequence[str]) -> RemoteFile:
    """Requests the first block at once: the answer has the size, and a small picture needs no second request."""
    with _answer(server, url, name, roots, 0, BLOCK) as answer:
        if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return RemoteFile(name, 0, lambda start, end: b"", release=server.close)
        if answer.status_code == HTTPStatus.OK:
            return _whole(answer, name, server)
        size, etag = _size(answer, name, 0), _etag(answer)
        first = _body(answer, name, min(BLOCK, size), server.until)
        target = answer.url

    def fetch(start: int, end: int) -> bytes:
        if end <= len(first):
            return first[start:end]
        with _answer(server, target, name, roots, start, end) as answer:
            same = answer.status_code == HTTPStatus.PARTIAL_CONTENT and _size(answer, name, start) == size
            if not same or _etag(answer) != etag:
                raise UnreadableMediaError(f"{name}: has changed while it was read")
            return _body(answer, name, end - start, server.until)

    return RemoteFile(name, size, fetch, etag=etag, until=server.until, release=server.close)


def _answer(server: Client, url: str, name: str, roots: Sequence[str], start: int, end: int) -> requests.Response:
    """The answer to a request for the bytes from `start` to before `end`: 206, 200 or 416."""
    # A compressed answer would have other bytes.
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{end - 1}"}
    for _ in range(REDIRECTS + 1):
        with _network(name, "the server cannot be reached"):
            left_s = max(0.1, server.until - monotonic())
            times = min(TIMEOUT_S[0], left_s), min(TIMEOUT_S[1], left_s)
            answer = server.get(url, headers=headers, stream=True, timeout=times, allow_redirects=False)
        if not answer.is_redirect:
            _check(answer, name)
            return answer
        answer.close()
        url = _redirected(url, answer.headers["Location"], name, roots)
    raise UnreadableMediaError(f"{name}: is redirected more than {REDIRECTS} times")


def _redirected(url: str, location: str, name: str, roots: Sequence[str]) -> str:
    try:
        if len(location) > LONGEST_URL or re.search(r"[\x00-\x20\x7f-\xa0]", location):
            raise ValueError
        url = urljoin(url, location)
        if not url.startswith(("http://", "https://")):
            raise UnreadableMediaError(f"{masked(url)}: is not on a web server")
        check_remote(url)
        check_permitted(url, roots)
    except UnreadableMediaError as error:
        raise UnreadableMediaError(f"{name}: is redirected to {error}") from None
    except ValueError:
        raise UnreadableMediaError(f"{name}: is redirected to no valid URL") from None
    return url


def _check(answer: requests.Response, name: str) -> None:
    status = answer.status_code
    found = status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    if found and answer.headers.get("Content-Encoding", "identity") == "identity":
        return
    answer.close()
    if found:
        raise UnreadableMediaError(f"{name}: the server sends it compressed, which was not requested")
    reason = f"{status} {responses.get(status, '')}".rstrip()  # the server's own words may be of any kind
    if status >= 500 or status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT):
        raise AgainError(f"the server answered {reason}")
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise UnreadableMediaError(f"{name}: does not exist (the server answered {status})")
    if status == HTTPStatus.UNAUTHORIZED:
        raise UnreadableMediaError(
            f"{name}: the server requires a password (401); put it into a netrc file that NETRC names"
        )
    raise UnreadableMediaError(f"{name}: the server refused ({reason})")


def _size(answer: requests.Response, name: str, start: int) -> int:
    """The file's size in bytes, from an answer that begins at `start`."""
    match = re.fullmatch(r"bytes ([0-9]{1,19})-[0-9]{1,19}/([0-9]{1,19})", answer.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != start:
        raise UnreadableMediaError(f"{name}: the server does not say which part of the file it sends")
    if (size := int(match[2])) > LARGEST:
        raise UnreadableMediaError(f"{name}: has {size:,} bytes, the server claims; more than {LARGEST:,} are not read")
    return size


def _etag(answer: requests.Response) -> str | None:
    """What the server calls this content: its ETag, else the time of its last change."""
    given = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    return given[:LONGEST_ETAG].replace("\0", "") or None  # PostgreSQL stores no NUL


def _body(answer: requests.Response, name: str, length: int, until: float) -> bytes:
    body = bytearray()
    for part in _parts(answer, name, until):
        body += part
        if len(body) > length:
            break
    if len(body) != length:
        raise AgainError("the server sent another number of bytes than it promised")
    return bytes(body)


def _whole(answer: requests.Response, name: str, server: Client) -> RemoteFile:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the reader closes it
    try:
        for part in _parts(answer, name, server.until):
            file.write(part)
            if file.tell() > MAX_WHOLE:
                raise UnreadableMediaError(
                    f"{name}: is larger than {MAX_WHOLE / 2**30:.0f} GiB, and the server cannot send a part of it"
                )
    except OSError as error:
        file.close()
        raise UnreadableMediaError(f"{name}: cannot be kept in a temporary file ({error.strerror})") from None
    except BaseException:
        file.close()
        raise

    def fetch(start: int, end: int) -> bytes:
        file.seek(start)
        return file.read(end - start)

    def release() -> None:
        file.close()
        server.close()

    return RemoteFile(name, file.tell(), fetch, parts=False, etag=_etag(answer), release=release)


def _parts(answer: requests.Response, name: str, until: float) -> Iterator[bytes]:
    """The body as it arrives. Raises `TransientMediaError` if it arrives too slowly."""
    received, began = 0, monotonic()
    with _network(name, "the connection broke"):
        while part := answer.raw.read1(2**16, decode_content=False):
            received += len(part)
            if monotonic() > min(until, began + PATIENCE_S + received / SLOWEST):
                answer.close()
                raise TransientMediaError(f"{name}: {TOO_SLOW}")
            yield part


@contextmanager
def _network(name: str, broken: str) -> Iterator[None]:
    """Translates the network's errors: the messages of requests contain whole URLs and object representations."""
    try:
        yield
    except InnerAddressError:
        raise UnreadableMediaError(f"{name}: {INNER}") from None
    except requests.exceptions.SSLError:
        raise UnreadableMediaError(f"{name}: the server's certificate is not accepted") from None
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise AgainError("the server did not answer in time") from None
    except (requests.ConnectionError, urllib3.exceptions.HTTPError):
        raise AgainError(broken) from None
    except (requests.RequestException, ValueError):
        raise UnreadableMediaError(f"{name}: is not a valid URL") from None
