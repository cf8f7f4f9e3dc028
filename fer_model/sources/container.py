"""PyAV's containers, for indexing and for reading: opening, choice of the stream, packets."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from typing import Any, TypeVar

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fer_model.errors import TransientMediaError, UnreadableMediaError
from fer_model.sources.encryption import beginning, is_encrypted, is_scrambled
from fer_model.sources.mp4 import BOXES, hollow

FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg"
"""FFmpeg's names of the containers that are read."""

# A playlist named .mp4 must not open other files or the network. FFmpeg gets its bytes from `_Reader` and need open
# nothing itself, so the only protocol on its whitelist is one that does not exist.
_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}

MAX_PIXELS = 2**26
"""The largest picture of a video, 8192 x 8192 pixels: decoders keep many at a time, and a small file may claim any."""

# FFmpeg's decoders then refuse a larger picture before they take memory for it, whatever the container's header says.
_LIMIT = {"max_pixels": str(MAX_PIXELS)}

NO_FILM = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image

ENCRYPTED_TAGS = ("encv", "drmi")
"""Sample entries of protected mp4 video."""

IS_ENCRYPTED = "is encrypted, and there is no key for it; give a copy that is not"

VP8 = ("vp8", "libvpx")

Result = TypeVar("Result")


class _Reader:
    """A file as FFmpeg reads it.

    FFmpeg takes a read error for the end of the file, so the first one is kept for `opened` to raise.
    """

    def __init__(self, file: BufferedReader, check: Callable[[], None]) -> None:
        self.name, self.tell, self._check = file.name, file.tell, check
        self._read, self._seek = file.read, file.seek
        self.error: OSError | UnreadableMediaError | None = None
        self.astray = False

    def seek(self, offset: int, whence: int = 0) -> int:
        """Damaged files contain negative offsets: -1 reports them to FFmpeg as an error."""
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError):
            self.astray = True
            return -1

    def read(self, size: int) -> bytes:
        self._check()
        try:
            return b"" if self.error else self._read(size)
        except (OSError, UnreadableMediaError) as error:
            self.error = error
            return b""


@contextmanager
def opened(
    file: BufferedReader, threads: int = 1, check: Callable[[], None] = lambda: None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container in a file, read from its beginning, and the video stream that a player would show.

    `check` is called before each read; an exception from it ends the reading.

    Raises:
        UnreadableMediaError: also in place of every error of FFmpeg's inside the `with`.
        TransientMediaError: at the end at the latest, if a read failed.
    """
    check()
    head = beginning(file)
    if is_encrypted(head):
        raise UnreadableMediaError(f"{file.name}: {IS_ENCRYPTED}")
    reader, is_open = _Reader(file, check), False
    try:
        with av.open(reader, "r", options=_OPTIONS | _LIMIT, metadata_errors="ignore") as container:
            is_open = True
            stream = _video_stream(container, file.name)
            stream.thread_type = "AUTO"
            stream.thread_count = threads
            stream.codec_context.options = _LIMIT
            yield container, stream
    except (av.FFmpegError, UnreadableMediaError) as error:
        _check(reader)
        if is_scrambled(head):
            raise UnreadableMediaError(f"{file.name}: {IS_ENCRYPTED}") from error
        if isinstance(error, UnreadableMediaError):
            raise
        astray = "is damaged: it points to a place outside of itself" if reader.astray else None
        raise UnreadableMediaError(f"{file.name}: {astray or _complaint(head, error, is_open)}") from error
    _check(reader)


def without_pictures(
    file: BufferedReader, look: Callable[[InputContainer, VideoStream], Result], check: Callable[[], None]
) -> Result | None:
    """The result of `look` on a remote mp4 without transferring its pictures (see `hollow`); None for other files.

    `check` is as in `opened`.

    Raises:
        TransientMediaError: the server does not answer.
    """
    emptied = hollow(file, check)
    if emptied is None:
        return None
    try:
        with emptied, opened(emptied, check=check) as (container, stream):
            # Only the contents of this codec's packets show whether they are displayed.
            return None if stream.codec_context.name in VP8 else look(container, stream)
    except TransientMediaError:
        raise
    except UnreadableMediaError:
        return None


def _check(reader: _Reader) -> None:
    if isinstance(reader.error, UnreadableMediaError):
        raise reader.error
    if reader.error is not None:
        raise UnreadableMediaError(f"{reader.name}: cannot be read ({reader.error.strerror})") from reader.error


def films_of(container: InputContainer) -> list[VideoStream]:
    """The video streams without cover art, still pictures and thumbnails."""
    return [stream for stream in container.streams.video if not stream.disposition & NO_FILM]


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    """The largest stream flagged as default; of all streams if none is."""
    films = films_of(container)
    if not films:
        raise UnreadableMediaError(f"{name}: has no video stream")
    known = [stream for stream in films if stream.codec_context is not None]
    if not known:
        raise UnreadableMediaError(f"{name}: its video codec is not known")
    flagged = [stream for stream in known if stream.disposition & Disposition.default]
    stream = max(flagged or known, key=lambda each: each.width * each.height)
    width, height = stream.width, stream.height
    if width * height > MAX_PIXELS:
        raise UnreadableMediaError(f"{name}: has {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are decoded")
    if stream.codec_tag.lower() in ENCRYPTED_TAGS or "enc_key_id" in stream.metadata:
        raise UnreadableMediaError(f"{name}: {IS_ENCRYPTED}")
    return stream


def _complaint(head: bytes, error: av.FFmpegError, is_open: bool) -> str:
    if isinstance(error, av.error.ArgumentError):
        # FFmpeg's error for a format that is not on the whitelist, and for a decoder that refuses the size.
        too_large = f"has no size, or more than {MAX_PIXELS:,} pixels"
        return too_large if is_open else "is of a format that is not read"
    if not isinstance(error, av.error.InvalidDataError):
        return f"cannot be read ({error.strerror})"
    if head[4:8] in BOXES:
        return "is truncated: the index at its end (moov) is missing"
    if head.startswith(b"\x1aE\xdf\xa3") or (head.startswith(b"RIFF") and head[8:12] == b"AVI "):
        return "is truncated or damaged at its beginning"
    return "is not a video (unknown format)"


def packets_of(container: InputContainer, *streams: Stream) -> Iterator[Packet[Any]]:
    """Packets up to the end, or to where a truncated file ends; of all streams if none is named.

    Raises:
        UnreadableMediaError: a packet of video is encrypted.
    """
    try:
        for packet in container.demux(*streams):
            # An empty packet would flush the decoder.
            if packet.size:
                _check_clear(container, packet)
                yield packet
    except (av.error.InvalidDataError, av.error.EOFError):
        return


def _check_clear(container: InputContainer, packet: Packet[Any]) -> None:
    if packet.stream.type == "video" and (
        packet.has_sidedata("encryption_info") or packet.has_sidedata("encryption_init_info")
    ):
        # Common Encryption, ISO/IEC 23001-7
        raise UnreadableMediaError(f"{container.name}: {IS_ENCRYPTED}")


def is_shown(packet: Packet[Any]) -> bool:
    """Whether this packet's picture is displayed: not if an edit list discards it or the file ends within it."""
    if packet.is_discard or packet.is_corrupt:
        return False
    # VP8's alternate reference pictures are packets of their own; the fifth bit is `show_frame` (RFC 6386, 9.1).
    return packet.stream.codec_context.name not in VP8 or bool(memoryview(packet)[0] & 0x10)


def decode(stream: VideoStream, packet: Packet[Any] | None) -> list[VideoFrame]:
    """The pictures that come out when `packet` goes in (None: the last ones); none for a damaged packet.

    After one, VP9's decoder takes no other until it is emptied; what was in it is lost.
    """
    try:
        return stream.decode(packet)
    except av.error.BlockingIOError:
        stream.codec_context.flush_buffers()
        with suppress(av.error.InvalidDataError, av.error.EOFError, av.error.BlockingIOError):
            return stream.decode(packet)
    except (av.error.InvalidDataError, av.error.EOFError):
        pass
    return []
