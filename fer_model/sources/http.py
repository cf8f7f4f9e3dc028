"""Files on web servers, read by range requests."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urljoin

import requests

from fer_model.errors import UnreadableMediaError
from fer_model.sources.files import check_remote, masked
from fer_model.sources.remote import BLOCK, TIMEOUT_S, AgainError, RemoteFile, retried
from fer_model.sources.roots import check_permitted

REDIRECTS = 5
MAX_WHOLE = 2**31
"""The most bytes fetched from a server without range requests."""


def open_http(url: str, roots: Sequence[str]) -> RemoteFile:
    """The file at a URL. Without range requests it is fetched whole, into a temporary file.

    Raises:
        UnreadableMediaError: the server has no such file, refuses it, or redirects to outside of `roots`.
        TransientMediaError: the server cannot be reached, or the connection breaks.
    """
    session = requests.Session()
    if not os.environ.get("NETRC"):
        # Without `auth`, requests would read ~/.netrc: credentials come from the environment alone.
        session.auth = lambda request: request
    name = masked(url)
    try:
        return retried(name, lambda: _begun(session, url, name, roots))
    except BaseException:
        session.close()
        raise


def _begun(session: requests.Session, url: str, name: str, roots: Sequence[str]) -> RemoteFile:
    """Requests the first block at once: the answer has the size, and a small picture needs no second request."""
    with _answer(session, url, name, roots, 0, BLOCK) as answer:
        if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return RemoteFile(name, 0, lambda start, end: b"", release=session.close)
        if answer.status_code == HTTPStatus.OK:
            return _whole(answer, name, session)
        size = _size(answer, name, 0)
        first = _body(answer, name, min(BLOCK, size))
        target = answer.url

    def fetch(start: int, end: int) -> bytes:
        if end <= len(first):
            return first[start:end]
        with _answer(session, target, name, roots, start, end) as answer:
            if answer.status_code != HTTPStatus.PARTIAL_CONTENT or _size(answer, name, start) != size:
                raise UnreadableMediaError(f"{name}: has changed while it was read")
            return _body(answer, name, end - start)

    return RemoteFile(name, size, fetch, release=session.close)


def _answer(
    session: requests.Session, url: str, name: str, roots: Sequence[str], start: int, end: int
) -> requests.Response:
    """The answer to a request for the bytes from `start` to before `end`: 206, 200 or 416."""
    # A compressed answer would have other bytes.
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{end - 1}"}
    for _ in range(REDIRECTS + 1):
        with _network(name, "the server cannot be reached"):
            answer = session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S, allow_redirects=False)
        if not answer.is_redirect:
            _check(answer, name)
            return answer
        answer.close()
        url = urljoin(url, answer.headers["Location"])
        _check_redirect(url, name, roots)
    raise UnreadableMediaError(f"{name}: is redirected more than {REDIRECTS} times")


def _check_redirect(url: str, name: str, roots: Sequence[str]) -> None:
    try:
        if not url.startswith(("http://", "https://")):
            raise UnreadableMediaError(f"{masked(url)}: is not on a web server")
        check_remote(url)
        check_permitted(url, roots)
    except UnreadableMediaError as error:
        raise UnreadableMediaError(f"{name}: is redirected to {error}") from None


def _check(answer: requests.Response, name: str) -> None:
    status = answer.status_code
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        return
    answer.close()
    if status >= 500 or status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT):
        raise AgainError(f"the server answered {status} {answer.reason}")
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise UnreadableMediaError(f"{name}: does not exist (the server answered {status})")
    if status == HTTPStatus.UNAUTHORIZED:
        raise UnreadableMediaError(
            f"{name}: the server requires a password (401); put it into a netrc file that NETRC names"
        )
    raise UnreadableMediaError(f"{name}: the server refused ({status} {answer.reason})")


def _size(answer: requests.Response, name: str, start: int) -> int:
    """The file's size in bytes, from an answer that begins at `start`."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != start:
        raise UnreadableMediaError(f"{name}: the server does not say which part of the file it sends")
    return int(match[2])


def _body(answer: requests.Response, name: str, length: int) -> bytes:
    body = bytearray()
    for part in _parts(answer, name):
        body += part
        if len(body) > length:
            break
    if len(body) != length:
        raise AgainError("the server sent another number of bytes than it promised")
    return bytes(body)


def _whole(answer: requests.Response, name: str, session: requests.Session) -> RemoteFile:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the reader closes it
    try:
        for part in _parts(answer, name):
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
        session.close()

    return RemoteFile(name, file.tell(), fetch, parts=False, release=release)


def _parts(answer: requests.Response, name: str) -> Iterator[bytes]:
    with _network(name, "the connection broke"):
        yield from answer.iter_content(2**16)


@contextmanager
def _network(name: str, broken: str) -> Iterator[None]:
    """Translates the network's errors: the messages of requests contain whole URLs and object representations."""
    try:
        yield
    except requests.exceptions.SSLError:
        raise UnreadableMediaError(f"{name}: the server's certificate is not accepted") from None
    except requests.Timeout:
        raise AgainError("the server did not answer in time") from None
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        raise AgainError(broken) from None
    except (requests.RequestException, ValueError):
        raise UnreadableMediaError(f"{name}: is not a valid URL") from None
