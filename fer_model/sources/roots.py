"""Access control for media: FER_MEDIA_ROOTS."""

import os
import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from fer_model.errors import UnreadableMediaError
from fer_model.sources.files import is_remote, masked, to_path

PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}
"""The usual ports of schemes."""


def check_permitted(uri: str, roots: Sequence[str]) -> None:
    """Refuses media outside `roots`: folders, and URI prefixes such as `s3://bucket/project/`.

    Links are resolved, in the path and in the root. Without roots everything is permitted.

    Raises:
        UnreadableMediaError: it lies outside; one sentence that begins with the URI.
    """
    if roots and not any(lies_below(uri, root) for root in roots):
        raise UnreadableMediaError(f"{masked(uri)}: lies outside FER_MEDIA_ROOTS")


def lies_below(uri: str, root: str) -> bool:
    """Whether a path or URI is a root or lies below it, links resolved."""
    place, base = _place(uri), _place(root.rstrip("/") if is_remote(root) else root)
    return place is not None and base is not None and place[: len(base)] == base


def _place(uri: str) -> list[str] | None:
    """The parts of a medium's path, outermost first; None where it is ambiguous."""
    if not is_remote(uri):
        try:
            return os.path.realpath(to_path(uri)).rstrip("/").split("/")
        except (ValueError, OSError):  # a NUL in the name, or links in a circle
            return None
    scheme, _, rest = uri.partition("://")
    if scheme == "s3":
        place = ["s3", *rest.split("/")]
        return None if ".." in place else place
    try:
        parts = urlsplit(uri)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    # Servers decode once or twice, and some treat a backslash as a slash.
    if ".." in re.split(r"[/\\]", unquote(unquote(parts.path))):
        return None
    path = [unquote(part) for part in parts.path.split("/")[1:]]
    return [parts.scheme, f"{parts.hostname}:{port}", *path]
