"""The sound of a transcoded video: copied where the new container supports it, else re-encoded."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain, islice
from typing import Any, Literal

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from fer_model.sources.clock import LEAP_S, LONGEST_GAP_S, RESTARTING, Timeline
from fer_model.sources.container import packets_of

Way = Literal["copy", "encode", "leave out"]

IN_MP4 = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}
"""Codecs that are copied into an mp4."""

PCM = {"pcm_u8", "pcm_f32le", "pcm_f64le", *(f"pcm_s{bits}{end}" for bits in (16, 24, 32) for end in ("le", "be"))}
IN_MATROSKA = IN_MP4 | PCM | {"vorbis", "mp2", "dts", "truehd", "mlp", "wavpack", "tta"}
"""Codecs that are copied into a Matroska file instead. All others are re-encoded."""

ENCODER = "aac"
RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
"""Sample rates of the encoder, in Hz."""


class SoundError(Exception):
    """The sound cannot be written like this."""


@contextmanager
def sound_errors() -> Iterator[None]:
    """Turns FFmpeg's errors, also those that PyAV raises as Python's own, into `SoundError`."""
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        raise SoundError(str(error)) from error


def suffix_for(container: InputContainer) -> Literal[".mp4", ".mkv"]:
    """The suffix of the container that supports the sound."""
    return ".mkv" if any(_codec(each) in IN_MATROSKA - IN_MP4 for each in container.streams.audio) else ".mp4"


def left_out(container: InputContainer, way: Way) -> str | None:
    """A clause about the sound that is dropped; None if all of it is kept."""
    names = [_codec(each) or "of an unknown codec" for each in container.streams.audio]
    lost = [name for name in names if way == "leave out" or name == "of an unknown codec"]
    return f"its sound ({', '.join(lost)}) cannot be written and is left out" if lost else None


def _codec(stream: AudioStream) -> str | None:
    # Not the decoder's name: that of mp3 is `mp3float`.
    return None if stream.codec_context is None else stream.codec_context.codec.canonical_name


class Sound:
    """All sound of a file, in step with the pictures."""

    def __init__(self, source: InputContainer, output: OutputContainer, way: Way) -> None:
        known = [stream for stream in source.streams.audio if _codec(stream)] if way != "leave out" else []
        held = IN_MATROSKA if output.format.name == "matroska" else IN_MP4
        self._output = output
        self._tracks: dict[int, _Copy | _Anew] = {
            stream.index: (_Copy if way == "copy" and _codec(stream) in held else _Anew)(stream, output)
            for stream in known
        }
        self._packets = _steady(source, known)
        self._ahead: list[Packet[Any]] = []
        self.begins = self._beginning()
        self._zero = Fraction(0)

    def _beginning(self) -> Fraction | None:
        """The second at which the sound begins, without the encoder's priming samples."""
        for packet in self._packets:
            self._ahead.append(packet)
            if not packet.is_discard:
                return _second(packet)
        return None

    def start(self, zero: Fraction) -> None:
        """`zero` is the second, on the source's clock, at which the new file begins."""
        self._zero = zero
        self._packets = chain(self._ahead, self._packets)
        self._ahead = list(islice(self._packets, 1))

    def until(self, time_ms: int | None) -> None:
        """Writes the sound up to a time of the new file, or to the end."""
        while self._ahead and (time_ms is None or 1000 * (_second(self._ahead[0]) - self._zero) <= time_ms):
            self._write(self._ahead[0])
            self._ahead = list(islice(self._packets, 1))
        if time_ms is None:
            self._write(None)

    def _write(self, packet: Packet[Any] | None) -> None:
        """Writes a packet; at the end flushes the encoders."""
        tracks = self._tracks.values() if packet is None else [self._tracks[packet.stream_index]]
        with sound_errors():
            for track in tracks:
                self._output.mux(track.packets(packet, self._zero))


def _second(packet: Packet[Any]) -> Fraction:
    return (packet.pts or 0) * packet.time_base


def _steady(source: InputContainer, streams: list[AudioStream]) -> Iterator[Packet[Any]]:
    """Packets with strictly rising times, corrected as those of pictures are (see `Timeline`)."""
    leap_s = LEAP_S if source.format.name in RESTARTING else LONGEST_GAP_S
    lines: dict[int, tuple[int, Timeline]] = {}
    last: dict[int, int] = {}
    for packet in packets_of(source, *streams) if streams else ():
        stamp = packet.pts if packet.dts is None else packet.dts
        index = packet.stream_index
        if index not in lines:
            lines[index] = (stamp or 0, Timeline(packet.duration or 1, round(leap_s / packet.time_base)))
        begins, line = lines[index]
        time = begins + line.at(stamp)
        last[index] = max(time, last[index] + 1) if index in last else time
        packet.pts = packet.dts = last[index]
        yield packet


class _Copy:
    """A copied stream of sound."""

    def __init__(self, stream: AudioStream, output: OutputContainer) -> None:
        with sound_errors():
            self._copy = output.add_stream_from_template(stream)

    def packets(self, packet: Packet[Any] | None, zero: Fraction) -> list[Packet[Any]]:
        """The packets to write for a packet (None at the end); `zero` is the second at which the new file begins."""
        if packet is None:
            return []
        shift = round(zero / packet.time_base)
        packet.pts, packet.dts = (packet.pts or 0) - shift, (packet.dts or 0) - shift
        packet.stream = self._copy
        return [packet]


class _Anew:
    """A stream of sound, re-encoded as AAC."""

    def __init__(self, stream: AudioStream, output: OutputContainer) -> None:
        self._decoder = stream.codec_context
        rate = min(RATES, key=lambda each: abs(each - (self._decoder.sample_rate or RATES[0])))
        with sound_errors():
            encoder = output.add_stream(ENCODER, rate=rate)
            assert isinstance(encoder, AudioStream)
            self._encoder = encoder
            self._encoder.layout = "mono" if self._decoder.layout.nb_channels == 1 else "stereo"

    def packets(self, packet: Packet[Any] | None, zero: Fraction) -> list[Packet[Any]]:
        """As `_Copy.packets`; damaged packets are skipped."""
        written: list[Packet[Any]] = []
        with suppress(av.error.InvalidDataError, av.error.EOFError):
            for frame in self._decoder.decode(packet):
                if frame.pts is not None and frame.time_base:
                    frame.pts -= round(zero / frame.time_base)
                written += self._encoder.encode(frame)
        return written if packet is not None else written + self._encoder.encode(None)
