"""Fetching a file over HTTP: a broken download goes on where it broke, and nothing is used before it is checked."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from fer_model.digests import matches
from fer_model.errors import DownloadError

ATTEMPTS = 5
TIMEOUT_S = (10, 60)
"""To connect, and for the server to say something."""

PIECE = 2**14
"""Bytes written at once: so much, at most, is lost when a connection breaks."""

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes there will be, if the server says so."""


class _AgainError(Exception):
    """The server may do better next time."""


def download(
    url: str, target: Path, promised: str | None, report: Report = lambda done, size: None, *, wait_s: float = 1.0
) -> None:
    """Fetches `url` into `target`, which appears only when it is whole and has the promised digest (see `digests`).

    What was fetched lies in `target.partial` until then, and the next attempt, or the next call, goes on from
    there. After `ATTEMPTS` failures, with pauses from `wait_s` seconds on and doubling, it is given up.

    Raises:
        DownloadError: the server cannot be reached or does not have the file, the disk is full, another
            process fetches it just now, or the file is not the one that was promised; it is deleted then.
    """
    partial = target.with_name(f"{target.name}.partial")
    again = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, _AgainError)
    attempts = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=wait_s, max=30),
        retry=retry_if_exception_type(again),
        reraise=True,
    )
    with _alone(partial) as file:
        try:
            attempts(_fetch, url, file, report)
        except (requests.RequestException, _AgainError) as error:
            raise DownloadError(f"{url}: could not be downloaded ({_reason(error)})") from error
        if promised and not matches(partial, promised):
            partial.unlink()
            raise DownloadError(f"{url}: is not the file that was promised ({promised}); it was deleted")
        partial.replace(target)


def _fetch(url: str, file: IO[bytes], report: Report) -> None:
    start = file.seek(0, 2)
    # A compressed answer would have other bytes and another length.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            if answer.headers.get("Content-Range") == f"bytes */{start}":
                return
            _write(file, lambda: file.truncate(0))
            raise _AgainError("the server has less than was fetched before")
        _check(url, answer)
        if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            # A server that knows no ranges sends the whole file.
            _write(file, lambda: file.truncate(0))
            start = 0
        length = answer.headers.get("Content-Length")
        size = start + int(length) if length else None
        done = start
        for part in answer.iter_content(PIECE):
            _write(file, lambda part=part: file.write(part))  # type: ignore[misc]
            report(done := done + len(part), size)


def _check(url: str, answer: requests.Response) -> None:
    status = answer.status_code
    if status >= 500 or status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT):
        raise _AgainError(f"the server answered {status} {answer.reason}")
    if status == HTTPStatus.NOT_FOUND:
        raise DownloadError(f"{url}: there is no such file (404)")
    if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise DownloadError(f"{url}: the server refused ({status} {answer.reason})")


def _write(file: IO[bytes], change: Callable[[], int]) -> None:
    try:
        change()
    except OSError as error:
        raise DownloadError(f"{file.name}: cannot be written ({error.strerror})") from error


@contextmanager
def _alone(partial: Path) -> Iterator[IO[bytes]]:
    """The file to append to, which no other process has."""
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        file = partial.open("ab", buffering=0)
    except OSError as error:
        raise DownloadError(f"{partial}: cannot be written ({error.strerror})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DownloadError(f"{partial}: another process is downloading this") from error
        try:
            yield file
        finally:
            if partial.exists() and not partial.stat().st_size:
                partial.unlink()


def _reason(error: Exception) -> str:
    # What requests says holds whole object descriptions.
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"the connection broke {ATTEMPTS} times; the next call goes on from there"
    return "the server cannot be reached" if isinstance(error, requests.ConnectionError) else str(error)
