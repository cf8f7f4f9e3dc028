"""Why a source was lost, in a sentence of ours: FFmpeg's own contain the address, with its password."""

import errno
import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import av

from fer_model.errors import FerModelError


@dataclass(frozen=True, slots=True)
class Loss:
    """`locked`: the login was refused, and cameras lock accounts that are tried too often."""

    reason: str
    locked: bool = False


QUIET_END = Loss("the source closed the connection")
LIST_ENDED = Loss("the playlist has ended")
NO_PICTURES = Loss("it sends no pictures that can be decoded")
STUCK = Loss("it does not answer")
SILENT = Loss("it sends no pictures")
NO_VIDEO = Loss("it sends no video of a known format")
FAILED = Loss("reading it failed")

_BY_KIND: tuple[tuple[type[Exception], Loss], ...] = (
    (av.error.HTTPUnauthorizedError, Loss("the user or the password is refused (401)", locked=True)),
    (av.error.HTTPForbiddenError, Loss("access is refused (403)", locked=True)),
    (av.error.HTTPNotFoundError, Loss("the server does not have this path (404)")),
    (av.error.HTTPServerError, Loss("the server has an error of its own (5xx)")),
    (av.error.HTTPClientError, Loss("the server refuses the request (4xx)")),
    (av.error.ExitError, STUCK),
    (TimeoutError, STUCK),
    (av.error.ProtocolNotFoundError, Loss("the installed FFmpeg lacks its protocol")),
    (av.error.InvalidDataError, NO_VIDEO),
    (ConnectionRefusedError, Loss("the connection is refused")),
    (ConnectionResetError, Loss("the connection was reset")),
    (BrokenPipeError, Loss("the connection was reset")),
    (FileNotFoundError, Loss("there is no such file or device")),
    (IsADirectoryError, Loss("it is a folder")),
)


def loss_of(error: BaseException, uri: str) -> Loss:
    """The loss that an error stands for; of its text only an errno's fixed words are used, and sentences of ours."""
    if isinstance(error, FerModelError):
        return Loss(str(error))
    for kind, loss in _BY_KIND:
        if isinstance(error, kind):
            return loss
    if not isinstance(error, OSError) or error.errno is None:
        return Loss(f"it cannot be read ({type(error).__name__})")
    if error.errno == errno.EIO and not _resolves(uri):
        return Loss("its host's name cannot be resolved")
    return Loss(f"it cannot be reached ({os.strerror(error.errno)})")


def _resolves(uri: str) -> bool:
    """Whether the host has an address: FFmpeg calls a failed look-up an input/output error."""
    host = urlsplit(uri).hostname
    try:
        return host is None or bool(socket.getaddrinfo(host, None))
    except OSError:
        return False
