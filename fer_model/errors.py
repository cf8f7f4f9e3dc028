"""The errors of this package. Each class's docstring is its default message."""

import struct
import zlib

PARSER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What libraries raise on a file or an answer that is damaged or forged. `Exception` would be too wide: time limits and
cancellation are exceptions too, and end the work, not the file."""


class FerModelError(Exception):
    """The model could not do its work."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class UnreadableMediaError(FerModelError):
    """The file cannot be read as a picture or a video."""


class TransientMediaError(UnreadableMediaError):
    """The file cannot be read at present; later it may be."""


class StreamAddressError(FerModelError):
    """An address of a live source begins with rtsp, rtsps, http, https, udp, tcp, srt or file, or is /dev/videoN."""


class WeightsError(FerModelError):
    """The weights are missing or are not the ones that were promised."""


class DownloadError(FerModelError):
    """The file could not be downloaded."""


class TrainingDataError(FerModelError):
    """The training data are not in the form that was promised."""


class TrainingError(FerModelError):
    """The training run cannot go on."""
