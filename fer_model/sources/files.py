"""Names of media: plain paths, `file://` URIs, and remote URIs."""

import os
import re
from urllib.parse import SplitResult, unquote, urlsplit

from fer_model.errors import UnreadableMediaError


def is_remote(uri: str) -> bool:
    """Whether this is a URI that does not begin with `file:`."""
    return re.match(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]*://", uri) is not None


def to_path(uri: str) -> str:
    """The absolute path that a path, a path with `~` or a `file://` URI stands for.

    Raises:
        UnreadableMediaError: the URI names a file on another host, or is none.
    """
    if not uri.startswith("file:"):
        return os.path.abspath(os.path.expanduser(uri))
    parts = _split(uri)
    if parts.netloc not in ("", "localhost"):
        raise UnreadableMediaError(f"{uri}: a file on another host cannot be read")
    return os.path.abspath(unquote(parts.path))


def without_query(uri: str) -> tuple[str, str | None]:
    """A web server's URI without its query, which may hold a signature under any name, and the query.

    The two joined by `?` are the URI; the query is None where there is none. An S3 key may contain a question mark.
    """
    if not uri[:8].lower().startswith(("http://", "https://")):
        return uri, None
    address, mark, query = uri.partition("?")
    return address, query if mark else None


def masked(uri: str) -> str:
    """The URI for messages and logs: without user, password and query."""
    if not is_remote(uri):
        return uri
    scheme, _, rest = without_query(uri)[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{'***@' if '@' in host else ''}{host.rpartition('@')[2]}{slash}{path}"


def check_remote(uri: str) -> None:
    """Refuses an unsupported URI before any request is sent.

    Raises:
        UnreadableMediaError: it has another scheme than s3, http and https, names no host, or holds a password.
    """
    scheme, _, rest = uri.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme not in ("s3", "http", "https"):
        raise UnreadableMediaError(f"{masked(uri)}: only s3://, http:// and https:// can be read from elsewhere")
    if "@" in host:
        places = (
            "the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            if scheme == "s3"
            else "a netrc file that the environment variable NETRC names"
        )
        raise UnreadableMediaError(f"{masked(uri)}: user and password do not belong here; put them into {places}")
    # Parsers disagree about backslashes and blanks in a host: the request could go to another host than was checked.
    if not host or re.search(r"[\\\s\x00-\x1f]", host):
        raise UnreadableMediaError(f"{masked(uri)}: names no valid host")
    _split(uri)


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError:  # half of an IPv6 address, or letters that stand for others
        raise UnreadableMediaError(f"{masked(uri)}: names no valid host") from None


def natural(name: str) -> tuple[list[str | int], str]:
    """Key for natural order: `2.jpg` comes before `10.jpg`."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if n % 2 else part.casefold() for n, part in enumerate(parts)], name
