"""Addresses of live sources, and the login that may stand in them."""

import re
from functools import cache
from urllib.parse import quote, unquote, urlsplit

from fer_model.errors import StreamAddressError, UnreadableMediaError
from fer_model.sources.files import to_path

NETWORK = ("rtsp", "rtsps", "http", "https", "udp", "tcp", "srt")
WITH_LOGIN = ("rtsp", "rtsps", "http", "https")
WITH_PORT = ("udp", "tcp", "srt")
"""Schemes that have no usual port."""

DEVICE = re.compile(r"/dev/(video\d+|v4l/by-(id|path)/[\w:.+-]+)")

Login = tuple[str, str | None]
"""User and password."""


def parse_address(uri: str) -> tuple[str, Login | None]:
    """The address without its login, and the login, percent-decoded; None where there is none.

    Messages never quote the address: a mistyped one may have its password anywhere.

    Raises:
        StreamAddressError: it is no address of a live source, or none that can be read here.
    """
    if DEVICE.fullmatch(uri):
        return uri, None
    scheme, mark, rest = uri.partition("://")
    scheme = scheme.lower()
    if scheme == "file" and mark:
        return _file(uri), None
    if scheme not in NETWORK or not mark:
        raise StreamAddressError
    if scheme == "srt" and not has_srt():
        raise StreamAddressError("srt:// cannot be read: the FFmpeg of the installed PyAV has no SRT")
    place, path = _split(rest)
    userinfo, _, host = place.rpartition("@")
    _check_host(scheme, host)
    if userinfo and scheme not in WITH_LOGIN:
        raise StreamAddressError(f"{scheme}:// has no login: take user and password out of the address")
    return f"{scheme}://{host}{path}", _login(userinfo)


def with_login(uri: str, login: Login | None) -> str:
    """The address with its login in it, as FFmpeg takes it."""
    if login is None:
        return uri
    scheme, _, rest = uri.partition("://")
    words = (word for word in login if word is not None)
    return f"{scheme}://{':'.join(quote(word, safe='') for word in words)}@{rest}"


@cache
def has_srt() -> bool:
    """Whether the FFmpeg that PyAV carries can receive SRT."""
    import av

    try:
        av.open("srt://127.0.0.1:0", timeout=0.1)
    except av.error.ProtocolNotFoundError:
        return False
    except av.FFmpegError:
        return True
    return True


def _file(uri: str) -> str:
    try:
        return f"file://{quote(to_path(uri))}"
    except UnreadableMediaError:
        raise StreamAddressError("file:// takes an absolute path: file:///folder/clip.mp4") from None


def _split(rest: str) -> tuple[str, str]:
    """What stands before the path, with its login, and the path with its query."""
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = rest[len(place) :]
    if "@" in path:
        raise StreamAddressError(
            "the address has an @ behind its host: in a password / ? # @ are %2F %3F %23 %40, in a path @ is %40"
        )
    return place, path


def _check_host(scheme: str, host: str) -> None:
    if not host or re.search(r"[\\\s\x00-\x1f\x7f]", host):
        raise StreamAddressError("the address names no valid host")
    try:
        parts = urlsplit(f"//{host}")
        named, port = parts.hostname, parts.port
    except ValueError:
        raise StreamAddressError("the address names no valid host and port (1 to 65535)") from None
    if port is None and scheme in WITH_PORT:
        raise StreamAddressError(f"{scheme}:// needs a port: {scheme}://host:port")
    if port == 0 or (named is None and scheme != "udp"):
        raise StreamAddressError("the address names no valid host and port (1 to 65535)")


def _login(userinfo: str) -> Login | None:
    if not userinfo:
        return None
    user, colon, password = userinfo.partition(":")
    return unquote(user), unquote(password) if colon else None
