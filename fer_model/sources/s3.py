"""Objects in S3 and in compatible stores."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from fer_model.errors import PARSER_ERRORS, UnreadableMediaError
from fer_model.sources.files import natural
from fer_model.sources.identity import Identity
from fer_model.sources.remote import TIMEOUT_S, AgainError, RemoteFile, retried

if TYPE_CHECKING:
    from s3fs import S3FileSystem

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_ELSEWHERE = ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
"""Environment variables that name sources of credentials."""

_BUSY = {errno.EBUSY, errno.EREMOTEIO, errno.ETIMEDOUT}

Result = TypeVar("Result")


def open_s3(uri: str) -> RemoteFile:
    """The object at `s3://bucket/key`.

    Raises:
        UnreadableMediaError: there is no such object or bucket, or the server refuses it.
        TransientMediaError: the server cannot be reached, or the connection breaks.
    """
    known = identity_of(uri)
    if known is None or known.size is None:
        raise UnreadableMediaError(f"{uri}: is a folder")
    path = uri.removeprefix("s3://")

    def fetch(start: int, end: int) -> bytes:
        data: bytes = _once(uri, partial(_files().cat_file, path, start=start, end=end))
        if len(data) != end - start:
            raise AgainError("the server sent another number of bytes than it promised")
        return data

    return RemoteFile(uri, known.size, fetch, etag=known.etag)


def identity_of(uri: str) -> Identity | None:
    """Size and ETag of an object; None for a folder.

    Raises:
        UnreadableMediaError: as `open_s3`.
    """
    return _asked(uri, partial(_identity_of, uri.removeprefix("s3://")))


def _identity_of(path: str) -> Identity | None:
    info: dict[str, Any] = _files().info(path)
    return None if info["type"] == "directory" else Identity(int(info["size"]), None, info.get("ETag"))


def objects_in(uri: str) -> Iterator[tuple[str, Identity]]:
    """URI and identity of every object below a folder or matched by a pattern, in natural order.

    `*`, `?`, `[...]` and `**` match as they do for files; a matched folder stands for everything in it. Hidden names
    are skipped.

    Raises:
        UnreadableMediaError: as `open_s3`.
    """
    # Only keys with the prefix before the first wildcard can match.
    base = re.split(r"[*?[]", uri, maxsplit=1)[0].rpartition("/")[0] if glob.has_magic(uri) else uri.rstrip("/")
    base += "/"
    bucket, _, prefix = base.removeprefix("s3://").partition("/")
    if not bucket:
        raise UnreadableMediaError(f"{uri}: names no bucket")
    pattern = uri[len(base) :].rstrip("/")
    found = []
    for key, known in _listed(uri, bucket, prefix):
        names = key.removeprefix(prefix).split("/")
        if names[-1] and _fits(names, pattern.split("/") if pattern else []):
            found.append(([natural(name) for name in names], f"s3://{bucket}/{key}", known))
    for _, each, known in sorted(found, key=lambda at: at[:2]):
        yield each, known


def _fits(names: list[str], parts: list[str]) -> bool:
    if not parts or not names:
        return not any(name.startswith(".") for name in names) and all(part == "**" for part in parts)
    hidden = names[0].startswith(".")
    if parts[0] == "**":
        return _fits(names, parts[1:]) or (not hidden and _fits(names[1:], parts))
    if hidden and not parts[0].startswith("."):
        return False
    return (names[0] == parts[0] or fnmatchcase(names[0], parts[0])) and _fits(names[1:], parts[1:])


def _listed(uri: str, bucket: str, prefix: str) -> Iterator[tuple[str, Identity]]:
    token: str | None = None
    while True:
        more = {"ContinuationToken": token} if token else {}
        entries, then = _asked(uri, partial(_page, Bucket=bucket, Prefix=prefix, **more))
        yield from entries
        if then is None:
            return
        if then == token:
            raise UnreadableMediaError(f"{uri}: the server lists the same objects again and again")
        token = then


def _page(**request: str) -> tuple[list[tuple[str, Identity]], str | None]:
    """Keys and identities of the objects on one page of a listing, and the token of the next page."""
    page = _files().call_s3("list_objects_v2", **request)
    found = page.get("Contents", ())
    entries = [(entry["Key"], Identity(int(entry["Size"]), None, entry.get("ETag"))) for entry in found]
    return entries, page["NextContinuationToken"] if page.get("IsTruncated") else None


def _files() -> S3FileSystem:
    """A file system with the environment's credentials, or anonymous for public buckets. Cached by credentials."""
    from s3fs import S3FileSystem

    key, secret, token = (os.environ.get(name) or None for name in KEYS)
    connect_s, read_s = TIMEOUT_S
    files = S3FileSystem(
        anon=not key and not any(os.environ.get(name) for name in _ELSEWHERE),
        key=key,
        secret=secret,
        token=token,
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None,
        # `retried` does the retries; and an earlier listing may have changed.
        config_kwargs={
            "retries": {"total_max_attempts": 1},
            "connect_timeout": connect_s,
            "read_timeout": read_s,
        },
        use_listings_cache=False,
    )
    files.retries = 1
    return files


def _asked(uri: str, call: Callable[[], Result]) -> Result:
    return retried(uri, lambda: _once(uri, call))


def _once(uri: str, call: Callable[[], Result]) -> Result:
    """The result of `call`; translates the libraries' errors."""
    from aiohttp import ClientError
    from botocore.exceptions import BotoCoreError, ConnectionError, HTTPClientError, ParamValidationError

    try:
        return call()
    except FileNotFoundError as error:
        bucket = "bucket" in str(error).lower()
        raise UnreadableMediaError(f"{uri}: {'there is no such bucket' if bucket else 'does not exist'}") from None
    except PermissionError as error:
        missing = "" if os.environ.get(KEYS[0]) else f"; {KEYS[0]} and {KEYS[1]} are not set"
        raise UnreadableMediaError(f"{uri}: the server refused ({error or 'Forbidden'}{missing})") from None
    except (ConnectionError, HTTPClientError, ClientError):
        raise AgainError("the server cannot be reached, or the connection broke") from None
    except TimeoutError:
        raise AgainError("the server did not answer in time") from None
    except OSError as error:
        if error.errno in _BUSY:
            raise AgainError(f"the server cannot answer now ({error.strerror})") from None
        raise UnreadableMediaError(f"{uri}: cannot be read ({error.strerror or error})") from None
    except ParamValidationError:
        raise UnreadableMediaError(f"{uri}: is no name that an object can have") from None
    except (BotoCoreError, *PARSER_ERRORS) as error:
        raise UnreadableMediaError(f"{uri}: cannot be requested ({error})") from None
