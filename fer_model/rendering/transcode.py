"""Transcodes a video: changes each picture and keeps the sound."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import get_args

import av
import cv2
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from fer_model.atomic import create
from fer_model.errors import UnreadableMediaError
from fer_model.rendering.colours import PIXELS, colours_of
from fer_model.rendering.sound import Sound, SoundError, Way, left_out, sound_errors, suffix_for
from fer_model.sources.container import opened
from fer_model.sources.decoding import Decoded
from fer_model.sources.files import masked
from fer_model.sources.identity import UNKNOWN, Identity
from fer_model.sources.opening import open_media
from fer_model.sources.scan import scan
from fer_model.sources.upright import Upright
from fer_model.sources.video import frames_from
from fer_model.types import Image

TICK = Fraction(1, 1000)
ENCODER = {"crf": "20", "preset": "veryfast"}

Change = Callable[[int, int, Callable[[], Image]], Image | None]
"""Takes a picture's frame index, its time in milliseconds and a function that gives it as RGB. Gives the new picture,
or None to keep the old one."""


def transcode_video(
    uri: str,
    stem: Path,
    change: Change,
    *,
    roots: Sequence[str] = (),
    expected: Identity = UNKNOWN,
    mode: int | None = None,
    on_frame: Callable[[int], None] = lambda frames: None,
    on_note: Callable[[str], None] = lambda sentence: None,
    on_end: Callable[[], None] = lambda: None,
) -> Path:
    """Writes a video as H.264 with its sound; gives the path: `stem` with `.mp4` or `.mkv` added.

    Every picture keeps its time, to the millisecond, and its colours; it is turned upright, with square pixels. Sound
    is copied if the container supports it, else re-encoded, else dropped with a sentence to `on_note`. Nothing else is
    kept: no metadata, no locations, no subtitles. The file appears once it is complete and `on_end` has returned;
    `mode` are its permissions, else what the umask leaves.

    Raises:
        UnreadableMediaError, TransientMediaError: as `read_video`; also where FFmpeg cannot write.
        OSError: the file cannot be written.
    """
    ways, source = get_args(Way), partial(open_media, uri, roots, expected)
    for way in ways:
        try:
            return _written(source, stem, change, way, mode, on_frame, on_note, on_end)
        except SoundError as error:
            if way == ways[-1]:
                raise UnreadableMediaError(f"{masked(uri)}: cannot be written ({error})") from error
    raise AssertionError


def _written(
    source: Callable[[], AbstractContextManager[BufferedReader]],
    stem: Path,
    change: Change,
    way: Way,
    mode: int | None,
    on_frame: Callable[[int], None],
    on_note: Callable[[str], None],
    on_end: Callable[[], None],
) -> Path:
    with ExitStack() as stack:
        file = stack.enter_context(source())
        clock = scan(file).clock
        container, stream = stack.enter_context(opened(file, 0))
        sound_file = stack.enter_context(source())
        heard, _ = stack.enter_context(opened(sound_file))
        path = stem.with_name(stem.name + suffix_for(heard))
        unfinished = path.with_name(f"{stem.name}.partial{path.suffix}")
        try:
            if mode is not None:
                create(unfinished, mode)
            with av.open(str(unfinished), "w") as output:
                pictures = _Pictures(output, container, stream, change, clock.counted)
                _transcode(frames_from(container, stream, clock=clock), pictures, Sound(heard, output, way), on_frame)
            on_end()
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        if lost := left_out(heard, way):
            on_note(f"{file.name}: {lost}")
    return path


def _transcode(frames: Iterable[Decoded], pictures: "_Pictures", sound: Sound, on_frame: Callable[[int], None]) -> None:
    lead, last = 0, -1
    for frame in frames:
        if last < 0:
            begins = pictures.second(frame)
            zero = begins if sound.begins is None else min(begins, sound.begins)
            lead = round(1000 * (begins - zero))
            pictures.start(frame.picture)
            sound.start(zero)
        last = max(frame.time_ms, last + 1)
        pictures.write(frame, lead + last)
        sound.until(lead + last)
        on_frame(1)
    if last < 0:
        raise UnreadableMediaError("no picture in it can be decoded")
    pictures.end()
    sound.until(None)


class _Pictures:
    """The stream of the new pictures."""

    def __init__(
        self, output: OutputContainer, container: InputContainer, stream: VideoStream, change: Change, counted: bool
    ) -> None:
        self._output, self._change, self._source, self._counted = output, change, stream, counted
        self._upright = Upright(container, stream)
        rate = stream.average_rate or Fraction(25)
        video = output.add_stream("libx264", rate=rate, options=ENCODER)
        assert isinstance(video, VideoStream)
        video.pix_fmt, video.codec_context.time_base = PIXELS, TICK
        self._video = video

    def second(self, frame: Decoded) -> Fraction:
        """The first picture's time in seconds, on the clock that it shares with the sound."""
        stamp, tick = frame.picture.pts, self._source.time_base
        return Fraction(0) if self._counted or stamp is None or tick is None else stamp * tick - frame.time_ms * TICK

    def start(self, picture: VideoFrame) -> None:
        """Takes size and colours from the first picture."""
        self._video.width, self._video.height = (side + side % 2 for side in self._upright.shown(picture))
        self._colours = colours_of(picture)
        self._colours.tag(self._video.codec_context)
        # The container rejects unsupported sound here, before any packet is written.
        with sound_errors():
            self._output.start_encoding()

    def write(self, frame: Decoded, time_ms: int) -> None:
        """Encodes the changed picture at its time in the new file."""
        picture = self._upright.square(frame.picture)
        image = self._change(frame.place, frame.time_ms, lambda: self._upright(picture))
        size = (self._video.width, self._video.height)
        if image is None and (self._upright.turn(picture) is not None or self._upright.size(picture) != size):
            image = self._upright(picture)
        if image is not None:
            picture = VideoFrame.from_ndarray(_fitted(image, *size), format="rgb24")
        new = self._colours.converted(picture, *size)
        # The source's picture types must not force those of this encoder.
        new.pts, new.time_base, new.pict_type = time_ms, TICK, PictureType.NONE
        self._output.mux(self._video.encode(new))

    def end(self) -> None:
        self._output.mux(self._video.encode())


def _fitted(image: Image, width: int, height: int) -> Image:
    """The picture in the file's size. H.264 needs even sides, so an edge is repeated; other sizes get black bars."""
    down, right = height - image.shape[0], width - image.shape[1]
    if down == right == 0:
        return image
    if not {down, right} <= {0, 1}:
        share = min(height / image.shape[0], width / image.shape[1])
        shown = (round(image.shape[1] * share), round(image.shape[0] * share))
        small = cv2.resize(image, shown, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR)
        top, left = (height - shown[1]) // 2, (width - shown[0]) // 2
        whole = np.zeros((height, width, 3), np.uint8)
        whole[top : top + shown[1], left : left + shown[0]] = small
        return whole
    return np.pad(image, ((0, down), (0, right), (0, 0)), mode="edge")
