"""One colour space for all pictures of a file that is written: that of the source."""

from dataclasses import dataclass, field

from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

PIXELS = "yuv420p"
"""What every player shows."""

UNSPECIFIED = 2
"""Of FFmpeg's AVColorSpace, AVColorPrimaries and AVColorTransferCharacteristic (ITU-T H.273): not known."""

# The matrices that FFmpeg's scaler computes with (AVColorSpace), and what it calls them.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}

_LARGEST_SD = 576
"""Pictures with more lines are BT.709 where nothing says so (as in ITU-R BT.709 and BT.601)."""


@dataclass(frozen=True)
class Colours:
    """Matrix, range, transfer characteristic and primaries of the pictures of a stream, as FFmpeg numbers them."""

    space: int
    range: int
    transfer: int
    primaries: int
    _reformatter: VideoReformatter = field(default_factory=VideoReformatter, compare=False)

    def tag(self, target: VideoFrame | VideoCodecContext) -> None:
        """Says in a picture or to an encoder what the colours mean."""
        target.colorspace, target.color_range = self.space, self.range
        target.color_trc, target.color_primaries = self.transfer, self.primaries

    def converted(self, frame: VideoFrame, width: int, height: int) -> VideoFrame:
        """A picture as `PIXELS` of this size, in these colours; itself if it is that already."""
        source = ColorRange.JPEG if _is_full(frame) else None
        matrix, full = _MATRICES.get(self.space), self.range or ColorRange.MPEG
        new = self._reformatter.reformat(
            frame, width, height, PIXELS, dst_colorspace=matrix, src_color_range=source, dst_color_range=full
        )
        self.tag(new)
        return new


def colours_of(frame: VideoFrame) -> Colours:
    """Those of the first picture of a stream; of RGB, and of matrices that cannot be computed with, what is nearest."""
    space, full = frame.colorspace, frame.color_range
    if frame.format.is_rgb or space not in (*_MATRICES, UNSPECIFIED):
        space = 1 if frame.height > _LARGEST_SD else 6
    if _is_full(frame):
        full = ColorRange.MPEG if frame.format.is_rgb else ColorRange.JPEG
    return Colours(space, full, frame.color_trc, frame.color_primaries)


def _is_full(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.name.startswith("yuvj")
