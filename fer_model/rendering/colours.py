"""The colour space of a written file: the source's, the same for all pictures."""

from dataclasses import dataclass, field

from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

PIXELS = "yuv420p"
"""The pixel format that every player supports."""

UNSPECIFIED = 2
"""Of FFmpeg's AVColorSpace, AVColorPrimaries and AVColorTransferCharacteristic (ITU-T H.273): not known."""

# The matrices that FFmpeg's scaler supports (AVColorSpace), and its names for them.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}

_LARGEST_SD = 576
"""Untagged pictures with more lines are taken as BT.709, others as BT.601."""


@dataclass(frozen=True)
class Colours:
    """Matrix, range, transfer characteristic and primaries of the pictures of a stream, as FFmpeg numbers them."""

    space: int
    range: int
    transfer: int
    primaries: int
    _reformatter: VideoReformatter = field(default_factory=VideoReformatter, compare=False)

    def tag(self, target: VideoFrame | VideoCodecContext) -> None:
        """Tags a picture or an encoder with these colours."""
        target.colorspace, target.color_range = self.space, self.range
        target.color_trc, target.color_primaries = self.transfer, self.primaries

    def converted(self, frame: VideoFrame, width: int, height: int) -> VideoFrame:
        """A picture as `PIXELS` of this size, in these colours; unchanged if it is so already."""
        source = ColorRange.JPEG if _is_full(frame) else None
        matrix, full = _MATRICES.get(self.space), self.range or ColorRange.MPEG
        new = self._reformatter.reformat(
            frame, width, height, PIXELS, dst_colorspace=matrix, src_color_range=source, dst_color_range=full
        )
        self.tag(new)
        return new


def colours_of(frame: VideoFrame) -> Colours:
    """The colours of a stream's first picture; for RGB and for unsupported matrices the nearest ones."""
    space, full = frame.colorspace, frame.color_range
    if frame.format.is_rgb or space not in (*_MATRICES, UNSPECIFIED):
        space = 1 if frame.height > _LARGEST_SD else 6
    if _is_full(frame):
        full = ColorRange.MPEG if frame.format.is_rgb else ColorRange.JPEG
    return Colours(space, full, frame.color_trc, frame.color_primaries)


def _is_full(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.name.startswith("yuvj")
