"""Downloads over HTTP: a broken download resumes, and no file is used before its digest is checked."""

import fcntl
import os
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
"""Timeouts in seconds: to connect, and between two packets of the answer."""

PIECE = 2**14
"""Bytes written at once: the most that is lost when a connection breaks."""

Report = Callable[[int, int | None], None]
"""Called with the bytes received and the total in bytes, None where the server does not give it."""


class _AgainError(Exception):
    """A transient error: the next attempt may succeed."""


@contextmanager
def downloaded(
    url: str, target: Path, promised: str | None, report: Report = lambda done, size: None, *, wait_s: float = 1.0
) -> Iterator[Path]:
    """Fetches `url` into `target`. Inside the block it is complete, has the expected digest (see `digests`) and is
    locked against other processes; afterwards it is deleted.

    With a digest, the next attempt or call resumes the download: the digest shows whether the parts belong
    together. It gives up after `ATTEMPTS` failures, with pauses of `wait_s` seconds that double each time.

    Raises:
        DownloadError: the server cannot be reached or does not have the file, the disk is full, another process is
            downloading it, or the file has another digest; it is deleted then.
    """
    again = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, _AgainError)
    attempts = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=wait_s, max=30),
        retry=retry_if_exception_type(again),
        reraise=True,
    )
    with _alone(target) as file:
        try:
            attempts(_fetch, url, file, report, goes_on=promised is not None)
        except (requests.RequestException, _AgainError) as error:
            raise DownloadError(f"{url}: could not be downloaded ({_reason(error, promised)})") from error
        try:
            if promised and not matches(target, promised):
                raise DownloadError(f"{url}: is not the file that was promised ({promised}); it was deleted")
            yield target
        finally:
            target.unlink(missing_ok=True)


def _fetch(url: str, file: IO[bytes], report: Report, *, goes_on: bool) -> None:
    if not goes_on:
        _write(file, lambda: file.truncate(0))
    start = file.seek(0, 2)
    # A compressed answer would differ in bytes and length.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            if answer.headers.get("Content-Range") == f"bytes */{start}":
                return
            _write(file, lambda: file.truncate(0))
            raise _AgainError("the server has less than was fetched before")
        _check(url, answer)
        if start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            # A server without range requests sends the whole file.
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
def _alone(target: Path) -> Iterator[IO[bytes]]:
    """The file to append to, locked against other processes."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("ab", buffering=0)
    except OSError as error:
        raise DownloadError(f"{target}: cannot be written ({error.strerror})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have deleted it after we opened it: a lock on an unlinked file excludes none.
            if not os.path.samestat(os.fstat(file.fileno()), target.stat()):
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError) as error:
            raise DownloadError(f"{target}: another process is downloading this") from error
        try:
            yield file
        finally:
            if target.exists() and not target.stat().st_size:
                target.unlink()


def _reason(error: Exception, promised: str | None) -> str:
    # The messages of requests contain object representations.
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"the connection broke {ATTEMPTS} times" + ("; the next call goes on from there" if promised else "")
    return "the server cannot be reached" if isinstance(error, requests.ConnectionError) else str(error)
