"""Decoding, and conversion to RGB."""

from __future__ import annotations

from fractions import Fraction
from threading import Lock
from typing import cast

import av
from av.codec.context import ThreadType
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from fer_model.sources.container import MAX_PIXELS
from fer_model.sources.live.packets import Coded, Format
from fer_model.sources.upright import Turn, is_quarter_turn, sane_aspect, square_size, upright_array
from fer_model.types import Image


class Decoder:
    """Decodes the packets of one connection after another, with a context of its own: nothing here touches the
    container, which another thread reads."""

    def __init__(self) -> None:
        self._format: Format | None = None
        self._shown = False

    def __call__(self, coded: Coded) -> tuple[list[VideoFrame], int]:
        """The pictures that come out, in the order of showing, with their capture time in ms as `pts`; and how many are
        damaged, other than before the first good one of a connection, which begins anywhere."""
        try:
            if coded.format is not self._format:
                self._open(coded.format)
            packet = av.Packet(coded.data)
            packet.pts, packet.time_base, packet.is_keyframe = coded.at_ms, Fraction(1, 1000), coded.key
            frames = self._context.decode(packet)
        except (av.FFmpegError, ValueError):
            return [], int(self._shown)
        good = [frame for frame in frames if not frame.is_corrupt and frame.pts is not None]
        self._shown = self._shown or bool(good)
        return good, (len(frames) - len(good)) * self._shown

    def _open(self, format: Format) -> None:
        self._format, self._shown = format, False
        self._context = cast(VideoCodecContext, av.CodecContext.create(format.codec, "r"))
        self._context.extradata = format.extradata
        if format.codec == "rawvideo":  # of cameras at this machine: its packets have no header
            (self._context.width, self._context.height), self._context.pix_fmt = format.size, format.pixels
        self._context.thread_type = ThreadType.NONE  # threads would hold pictures back
        self._context.options = {"max_pixels": str(MAX_PIXELS)}

    def aspect(self) -> Fraction | None:
        """The pixel aspect ratio of the picture that came out last; None for square pixels."""
        assert self._format is not None
        return sane_aspect(self._format.aspect or self._context.sample_aspect_ratio)


class Converter:
    """Converts one source's pictures to RGB with square pixels, upright; from any thread."""

    def __init__(self) -> None:
        self._reformatter, self._lock = VideoReformatter(), Lock()

    def __call__(self, frame: VideoFrame, size: tuple[int, int], turn: Turn | None) -> Image:
        """The picture as RGB, `size` (width, height) large, turned."""
        with self._lock:
            converted = self._reformatter.reformat(
                frame, *(size[::-1] if is_quarter_turn(turn) else size), format="rgb24"
            )
        return upright_array(converted, frame, turn)


def shown_size(frame: VideoFrame, aspect: Fraction | None, turn: Turn | None) -> tuple[int, int]:
    """Width and height with square pixels, upright."""
    size = square_size(frame, aspect)
    return size[::-1] if is_quarter_turn(turn) else size
