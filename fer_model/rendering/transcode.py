"""A video once more, each picture changed and the sound as it was."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fer_model.errors import UnreadableMediaError
from fer_model.sources.container import HEAD, clock_of, opened, packets_of
from fer_model.sources.opening import open_media
from fer_model.sources.video import Upright, frames_from
from fer_model.types import Image

TICK = Fraction(1, 1000)
ENCODER = {"crf": "20", "preset": "veryfast"}
IN_MP4 = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}
"""Sound that players expect in an mp4; with any other the file becomes a Matroska."""

Change = Callable[[int, Callable[[], Image]], Image | None]
"""Gets a picture's time in milliseconds and a function that gives the picture as RGB; None leaves it as it is."""


def transcode_video(
    uri: str,
    stem: Path,
    change: Change,
    *,
    roots: Sequence[str] = (),
    on_frame: Callable[[int], None] = lambda frames: None,
) -> Path:
    """Writes a video as H.264 beside the sound it has; gives the path: `stem` with `.mp4` or `.mkv` added.

    Every picture keeps its time, to the millisecond; it is turned upright. Sound is copied, not encoded again, and
    nothing else is taken over: no metadata, no places, no subtitles. The file is there when it is complete.

    Raises:
        UnreadableMediaError, TransientMediaError: as `read_video`; also where FFmpeg cannot write.
        OSError: the file cannot be written.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_media(uri, roots))
        begins = _begins(file)
        container, stream = stack.enter_context(opened(file, 0))
        sound_file = stack.enter_context(open_media(uri, roots))
        sound, _ = stack.enter_context(opened(sound_file))
        known = all(audio.codec_context.name in IN_MP4 for audio in _audio(sound))
        path = stem.with_name(stem.name + (".mp4" if known else ".mkv"))
        partial = path.with_name(f"{stem.name}.partial{path.suffix}")
        try:
            with av.open(str(partial), "w") as output:
                _transcode(container, stream, sound, output, change, begins, on_frame)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return path


def _begins(file: BufferedReader) -> Fraction:
    """The time of the first picture, in seconds, on the clock that the sound has too."""
    with opened(file) as (container, stream):
        clock = clock_of(container, stream, list(islice(packets_of(container, stream), HEAD)))
        return Fraction(0) if clock.counted else clock.origin * (stream.time_base or TICK)


def _transcode(
    container: InputContainer,
    stream: VideoStream,
    sound: InputContainer,
    output: OutputContainer,
    change: Change,
    begins: Fraction,
    on_frame: Callable[[int], None],
) -> None:
    video = output.add_stream("libx264", rate=stream.average_rate or Fraction(25), options=ENCODER)
    assert isinstance(video, VideoStream)
    video.pix_fmt = "yuv420p"
    video.codec_context.time_base = TICK
    heard = _Sound(sound, output, begins)
    last, upright = -1, Upright()
    for _, time_ms, picture in frames_from(container, stream):
        last = max(time_ms, last + 1)
        frame = _changed(picture, time_ms, change, upright)
        if not video.width or last == 0:
            video.width, video.height = frame.width, frame.height
        frame.pts, frame.time_base = last, TICK
        output.mux(video.encode(frame))
        heard.until(last)
        on_frame(1)
    if last < 0:
        raise UnreadableMediaError("no picture in it can be decoded")
    output.mux(video.encode())
    heard.until(None)


def _changed(picture: VideoFrame, time_ms: int, change: Change, upright: Upright) -> VideoFrame:
    turned = upright.turn(picture) is not None
    image = change(time_ms, lambda: upright(picture))
    if image is None and not turned and picture.width % 2 == 0 and picture.height % 2 == 0:
        return picture
    return VideoFrame.from_ndarray(_even(upright(picture) if image is None else image), format="rgb24")


def _even(image: Image) -> Image:
    """H.264 with halved colours has no odd sides: the edge is doubled."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return image


def _audio(container: InputContainer) -> list[AudioStream]:
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


class _Sound:
    """The packets of all sound, copied in step with the pictures."""

    def __init__(self, source: InputContainer, output: OutputContainer, begins: Fraction) -> None:
        self._output, self._begins = output, begins
        streams = _audio(source)
        self._copies = {stream.index: output.add_stream_from_template(stream) for stream in streams}
        self._packets = packets_of(source, *streams) if streams else iter(())
        self._next: Packet[Any] | None = next(self._packets, None)

    def until(self, time_ms: int | None) -> None:
        """Copies what is heard up to a moment, or to the end."""
        while self._next is not None and (time_ms is None or self._starts(self._next) <= time_ms):
            self._copy(self._next)
            self._next = next(self._packets, None)

    def _starts(self, packet: Packet[Any]) -> Fraction:
        return 1000 * ((packet.dts or 0) * packet.time_base - self._begins)

    def _copy(self, packet: Packet[Any]) -> None:
        if packet.dts is None or packet.pts is None:
            return
        shift = round(self._begins / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = self._copies[packet.stream.index]
        self._output.mux(packet)
