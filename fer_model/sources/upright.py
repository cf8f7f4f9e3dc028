"""Pictures as a viewer shows them: RGB, square pixels, turned and mirrored by the display matrix."""

from collections.abc import Callable
from fractions import Fraction
from typing import cast

import cv2
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from fer_model.sources.clock import SEEKABLE
from fer_model.types import Image

Turn = tuple[int, int, int, int]
"""A display matrix's a, b, c, d."""

WIDEST = 5
"""Pixel aspect ratios beyond this, either way, are errors and count as square; 2:1 is the widest in use."""

# One side grows and the other stays, as in players: no pixels are lost. `sar` is the picture's own aspect ratio.
_SQUARE = (
    f"w='if(between(sar,1,{WIDEST}),round(iw*sar),iw)':h='if(between(sar,1/{WIDEST},1),round(ih/sar),ih)'"
    ":eval=frame:flags=bilinear:interl=-1"
)


class Upright:
    """Converts the pictures of one stream to RGB with square pixels, turned and mirrored by their display matrix.

    It reads the matrix only of the first picture and of those turned by another angle: reading a picture's side data
    makes PyAV tie the picture into a reference cycle, whose memory only the garbage collector frees, much later.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._reformatter = VideoReformatter()
        self._angle: int | None = None
        self._turn: Turn | None = None
        self._stream = stream
        coded, self._aspect = stream.codec_context.sample_aspect_ratio, sane_aspect(stream.sample_aspect_ratio)
        # A container's aspect ratio holds for the whole stream; otherwise each picture has its own.
        self._fixed = stream.sample_aspect_ratio != coded or (coded is not None and container.format.name in SEEKABLE)
        self._square: Callable[[VideoFrame], VideoFrame] | None = None

    def square(self, frame: VideoFrame) -> VideoFrame:
        """The picture itself, or a copy with square pixels where aspect ratios change within the stream."""
        if self._square is None:
            # The decoder is ahead of its pictures, so a change shows here before it reaches one of them.
            if self._fixed or sane_aspect(self._stream.codec_context.sample_aspect_ratio) == self._aspect:
                return frame
            self._square, self._aspect = _squaring(self._stream), None
        return self._square(frame)

    def size(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height with square pixels, before turning; of a picture from `square`."""
        return square_size(frame, self._aspect)

    def shown(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height as a viewer shows them; of a picture from `square`."""
        size = self.size(frame)
        return size[::-1] if is_quarter_turn(self.turn(frame)) else size

    def turn(self, frame: VideoFrame) -> Turn | None:
        """The matrix's a, b, c, d; None where there is none."""
        if frame.rotation != self._angle:
            self._angle = frame.rotation
            matrix = frame.side_data.get("DISPLAYMATRIX")
            if matrix is None:
                self._turn = None
            else:
                a, b, _, c, d = np.frombuffer(cast(bytes, matrix), np.int32)[:5].tolist()
                self._turn = (a, b, c, d)
        return self._turn

    def __call__(self, frame: VideoFrame) -> Image:
        """The picture as RGB; `frame` is one from `square`."""
        width, height = self.size(frame)
        converted = self._reformatter.reformat(frame, width, height, format="rgb24")
        return upright_array(converted, frame, self.turn(frame))


def square_size(frame: VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height with square pixels, before turning."""
    if aspect is None:
        return frame.width, frame.height
    if aspect > 1:
        return round(frame.width * aspect), frame.height
    return frame.width, round(frame.height / aspect)


def upright_array(converted: VideoFrame, frame: VideoFrame, turn: Turn | None) -> Image:
    """RGB (H, W, 3) of `converted`, which is `frame` as rgb24: deinterlaced, turned and mirrored."""
    (plane,) = converted.planes
    # A view of the converted picture's memory, which lives as long as the array. Its lines may be padded.
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(converted.height, plane.line_size)
    image = cast(Image, lines[:, : 3 * converted.width].reshape(converted.height, converted.width, 3))
    return np.ascontiguousarray(turned(deinterlaced(image, frame), turn))


def is_quarter_turn(turn: Turn | None) -> bool:
    """Whether it is a quarter turn: the axes change places."""
    return turn is not None and abs(turn[1]) > abs(turn[0])


def turned(image: Image, turn: Turn | None) -> Image:
    """A picture turned and mirrored as the matrix says; may be a view."""
    if turn is None:
        return image
    a, b, c, d = turn
    if is_quarter_turn(turn):
        image, a, d = cast(Image, cv2.transpose(image)), c, b
    if a < 0 or d < 0:
        image = cast(Image, cv2.flip(image, -1 if a < 0 and d < 0 else 1 if a < 0 else 0))
    return image


def deinterlaced(image: Image, frame: VideoFrame) -> Image:
    """An interlaced picture, whose every second line is of another moment, as the field of its even lines, full height.

    That needs no neighbouring picture, unlike yadif, so that a video gives the same pictures however it is cut.
    """
    if not frame.interlaced_frame or len(image) < 2:
        return image
    return cast(Image, cv2.resize(image[::2], image.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def sane_aspect(aspect: Fraction | None) -> Fraction | None:
    """The pixel aspect ratio, width to height; None for square pixels and for errors."""
    return None if not aspect or aspect == 1 or not Fraction(1, WIDEST) <= aspect <= WIDEST else aspect


def _squaring(stream: VideoStream) -> Callable[[VideoFrame], VideoFrame]:
    """PyAV does not give a picture's own aspect ratio; FFmpeg's filters know it."""
    graph = Graph()
    source, scale, sink = graph.add_buffer(template=stream), graph.add("scale", _SQUARE), graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(sink)
    graph.configure()

    def square(frame: VideoFrame) -> VideoFrame:
        graph.push(frame)
        return cast(VideoFrame, graph.pull())

    return square
