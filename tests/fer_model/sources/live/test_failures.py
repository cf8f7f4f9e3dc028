"""Sources that fail, of real servers: each is noted with its reason, tried again, and can be stopped at any moment."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest

from fer_model.sources.live.capture import Capture
from fer_model.sources.live.line import Pauses
from tests.support.captures import Gathered, stop_at_once
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.live_servers import (
    LiveServer,
    hls,
    http_mjpeg,
    http_ts,
    rtsp_server,
    tcp_sending,
    tcp_ts,
    udp_ts,
)
from tests.support.servers import raw_server

Capturing = Callable[..., Capture]
Making = Callable[[Path], AbstractContextManager[LiveServer]]

NETWORK: dict[str, Making] = {"rtsp": rtsp_server, "http": http_ts, "mjpeg": http_mjpeg, "tcp": tcp_ts, "udp": udp_ts}


def transport_stream(path: Path, size: tuple[int, int] = (96, 64), codec: str = "libx264", pid: int = 256) -> bytes:
    """25 pictures, the first a keyframe."""
    pictures, options = panning_frames(noise_picture(), 25, size), {"mpegts_start_pid": str(pid)}
    return write_clip(path, pictures, codec=codec, gop=25, bframes=0, container_options=options).read_bytes()


@pytest.mark.parametrize("kind", NETWORK)
def test_a_server_that_is_killed_is_found_again(
    kind: str, small_clip: Path, capturing: Capturing, impatient: None
) -> None:
    with NETWORK[kind](small_clip) as server:
        got = Gathered(capturing(server.url)).more(5)
        server.kill()
        assert got.event("lost").detail.endswith("; it is tried again, after pauses of up to a minute")
        assert got.capture.figures().state == "reconnecting"
        server.start()
        assert re.search(r", after \d+\.\d s$", got.event("resumed").detail)
        got.more(5)
        assert got.capture.figures().state == "live" and got.capture.figures().reconnects >= 1
        assert all(earlier.at_ms < later.at_ms for earlier, later in pairwise(got.frames))
        server.kill()
        got.event("lost")
        stop_at_once(got.capture)


@pytest.mark.parametrize("kind", ["rtsp", "http"])
def test_a_server_that_freezes_is_lost_and_comes_back(
    kind: str, small_clip: Path, capturing: Capturing, impatient: None
) -> None:
    with NETWORK[kind](small_clip) as server:
        got = Gathered(capturing(server.url)).more(5)
        server.freeze()
        assert got.event("lost").detail.startswith("it sends no pictures; ")
        another = Gathered(capturing(server.url))
        # ffmpeg, which serves one client, has closed its port.
        reason = "it does not answer; " if kind == "rtsp" else "the connection is refused; "
        assert another.event("lost").detail.startswith(reason)
        stop_at_once(another.capture)
        server.thaw()
        got.event("resumed")
        server.freeze()
        stop_at_once(got.capture)
        server.thaw()


def test_a_wrong_password_is_tried_rarely_and_never_shown(
    small_clip: Path, capturing: Capturing, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    with rtsp_server(small_clip, "cam", "right-one") as server:
        wrong = Gathered(capturing(server.url, login=("cam", "hidden-one"), pauses=Pauses()))
        right = Gathered(capturing(server.url, login=server.login)).more(5)
        lost = wrong.event("lost").detail
        bare = Gathered(capturing(server.url, pauses=Pauses())).event("lost").detail
        server.kill()
        right.event("lost")
        stop_at_once(wrong.capture)
    assert lost.startswith("the user or the password is refused (401); it is tried again, after pauses")
    assert bare.startswith("the user or the password is refused")
    assert wrong.capture.figures().state == "connecting" and wrong.frames == []
    seen = [
        *capfd.readouterr(),
        caplog.text,
        *map(repr, (wrong.events, right.events, right.frames, vars(wrong.capture))),
    ]
    assert not any("hidden-one" in each or "right-one" in each for each in seen)


def test_no_error_s_text_is_passed_on(capturing: Capturing, capfd: pytest.CaptureFixture[str]) -> None:
    """Servers and addresses that make FFmpeg complain, in ways that quote the address."""
    answers: list[list[bytes]] = [
        [b"HTTP/1.1 403 Forbidden\r\n\r\n"],
        [b"HTTP/1.1 404 Not Found\r\n\r\n"],
        [b"HTTP/1.1 500 Oh\r\n\r\n"],
        [b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n\r\n#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hidden-one\n"],
        [b"HTTP/1.1 200 OK\r\n\r\n", b"\x47hidden-one" * 5000],
        [b"RTSP/1.0 200 OK\r\nCSeq: 999\r\n\r\n"],
    ]
    places, details = [], []
    for answer in answers:
        with raw_server(lambda head, answer=answer: answer) as url:  # type: ignore[misc]
            for scheme in ("http", "rtsp"):
                places.append(url.replace("http", scheme))
                got = Gathered(capturing(f"{places[-1]}/hidden-one.m3u8", login=("cam", "hidden-one")))
                details.append(got.event("lost").detail)
                stop_at_once(got.capture)
    assert not any("hidden-one" in detail or "127.0.0.1" in detail for detail in details), details
    assert "hidden-one" not in "".join(capfd.readouterr())
    assert details[0].startswith("access is refused (403)")
    assert details[2].startswith("the server does not have this path (404)")
    assert details[4].startswith("the server has an error of its own (5xx)")


def test_a_web_camera_s_login_is_sent_to_it(tmp_path: Path, capturing: Capturing) -> None:
    stream = transport_stream(tmp_path / "a.ts")

    def answer(head: bytes) -> list[bytes]:
        if b64encode(b"cam:a/b@c") in head:
            return [b"HTTP/1.1 200 OK\r\n\r\n" + stream]
        return [b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="cam"\r\nContent-Length: 0\r\n\r\n']

    with raw_server(answer) as url:
        assert Gathered(capturing(url, login=("cam", "a/b@c"))).more(5).kinds[0] == "connected"
        wrong = Gathered(capturing(url, login=("cam", "other")))
        assert wrong.event("lost").detail.startswith("the user or the password is refused (401)")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("rtsp://nothing.invalid/cam", "its host's name cannot be resolved"),
        ("http://nothing.invalid/cam.ts", "its host's name cannot be resolved"),
        ("tcp://127.0.0.1:1", "the connection is refused"),
        ("file:///nowhere/clip.mp4", "/nowhere/clip.mp4: does not exist"),
    ],
)
def test_a_source_that_is_not_there_is_tried_again(uri: str, reason: str, capturing: Capturing) -> None:
    got = Gathered(capturing(uri, pauses=Pauses(first_s=0.01, longest_s=0.05)))
    assert got.event("lost").detail.startswith(f"{reason}; it is tried again, ")
    got.until(lambda _: got.capture._line._failures >= 5)
    assert got.kinds == ["lost"], "the same reason again is no event"
    stop_at_once(got.capture)


def test_garbage_is_passed_over(tmp_path: Path, capturing: Capturing) -> None:
    """A first client gets nothing else, a second has some between its pictures."""
    good, noise, over = transport_stream(tmp_path / "a.ts"), noise_picture(512, 512).tobytes(), Event()

    def answer(client: int) -> Iterable[bytes]:
        if client == 0:
            yield noise
            return
        yield good + noise[:100_001]
        damaged = bytearray(good)
        for packet in range(188 * 20, len(damaged), 188 * 7):
            damaged[packet + 30 : packet + 130] = noise[packet : packet + 100]
        yield bytes(damaged) + good
        over.wait(20)

    with tcp_sending(answer) as url:
        got = Gathered(capturing(url, policy="everything", spool=tmp_path))
        assert got.event("lost").detail.startswith("it sends no video of a known format")
        got.more(60)
        got.until(lambda _: got.capture.figures().skipped["decode"] > 0)
        assert "connected" in got.kinds and got.capture.figures().state == "live"
        stop_at_once(got.capture)
        over.set()


def test_another_resolution_another_pid_and_timestamps_that_jump_back_are_the_same_stream(
    tmp_path: Path, capturing: Capturing
) -> None:
    large, over = transport_stream(tmp_path / "a.ts"), Event()
    small = transport_stream(tmp_path / "b.ts", (64, 48), pid=512)

    def answer(client: int) -> Iterable[bytes]:
        yield large + small + large  # each begins at the same timestamp
        over.wait(20)

    with tcp_sending(answer) as url:
        got = Gathered(capturing(url, policy="everything", spool=tmp_path)).more(70)
        sizes = [frame.size for frame in got.frames]
        assert sizes[:23] + sizes[30:45] == [(96, 64)] * 23 + [(64, 48)] * 15 and sizes[-1] == (96, 64)
        assert got.frames[-1].image().shape == (64, 96, 3)
        assert all(earlier.at_ms < later.at_ms for earlier, later in pairwise(got.frames))
        assert got.of("resolution")[0].detail == "the picture is 64x48 now, and was 96x64"
        assert "lost" not in got.kinds
        over.set()


def flash_video(path: Path, size: tuple[int, int]) -> list[tuple[int, bytes]]:
    """The video tags of an FLV with 25 pictures: time in ms and body."""
    content, at, tags = write_clip(path, panning_frames(noise_picture(), 25, size), bframes=0).read_bytes(), 13, []
    while at + 11 <= len(content):
        length = int.from_bytes(content[at + 1 : at + 4], "big")
        if content[at] == 9:
            tags.append((int.from_bytes(content[at + 4 : at + 7], "big"), content[at + 11 : at + 11 + length]))
        at += 11 + length + 4
    return tags


def test_another_encoder_s_settings_are_taken_where_keyframes_do_not_repeat_them(
    tmp_path: Path, capturing: Capturing
) -> None:
    """Else the pictures are noise of the former size."""
    sizes, over = ((96, 64), (64, 48)), Event()

    def answer(client: int) -> Iterable[bytes]:
        yield b"FLV\x01\x01\0\0\0\x09\0\0\0\0"
        for number, size in enumerate(sizes):
            for time_ms, body in flash_video(tmp_path / f"{number}.flv", size):
                head = b"\x09" + len(body).to_bytes(3, "big") + (1000 * number + time_ms).to_bytes(3, "big") + bytes(4)
                yield head + body + (11 + len(body)).to_bytes(4, "big")
        over.wait(20)

    with tcp_sending(answer) as url:
        got = Gathered(capturing(url, policy="everything", spool=tmp_path)).more(45)
        assert [frame.size for frame in got.frames[:45]] == [sizes[0]] * 25 + [sizes[1]] * 20
        expected = list(panning_frames(noise_picture(), 25, sizes[1]))[19]
        assert np.abs(got.frames[44].image().astype(int) - expected).mean() < 25
        assert got.of("resolution")[0].detail == "the picture is 64x48 now, and was 96x64" and "lost" not in got.kinds
        over.set()


class Pipe:
    """What is written to it cannot be changed later, as what has been sent."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> int:
        self.sent += bytes(data)
        return len(data)


@pytest.mark.parametrize(("kind", "options"), [("flv", {}), ("mp4", {"movflags": "empty_moov+frag_keyframe"})])
def test_a_live_source_that_names_a_duration_is_shown_as_it_comes(
    kind: str, options: dict[str, str], small_clip: Path, capturing: Capturing
) -> None:
    """Played as a recording it would stay behind by what the server had kept for the next client."""
    pipe, over = Pipe(), Event()
    with av.open(str(small_clip)) as clip, av.open(pipe, "w", format=kind, options=options) as live:
        stream = live.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = stream
                live.mux(packet)

    def answer(client: int) -> Iterable[bytes]:
        yield b"HTTP/1.0 200 OK\r\n\r\n" + pipe.sent
        over.wait(20)

    with tcp_sending(answer) as url:
        # A recording of three seconds would be played in three.
        got = Gathered(capturing(url.replace("tcp", "http"))).more(1)
        got.until(lambda got: got.capture.figures().captured >= 70, 2)
        over.set()


def test_another_codec_is_found_by_connecting_again(tmp_path: Path, capturing: Capturing, impatient: None) -> None:
    """FFmpeg goes on to take the packets for those of the first codec, and nothing can be decoded."""
    first, second = transport_stream(tmp_path / "a.ts"), transport_stream(tmp_path / "b.ts", codec="mpeg2video")
    changed, over = Event(), Event()

    def answer(client: int) -> Iterable[bytes]:
        if client == 0:
            yield first * 4
            changed.wait(20)
        while not over.wait(0.1):
            yield second

    with tcp_sending(answer) as url:
        got = Gathered(capturing(url))
        assert "h264" in got.event("connected").detail
        changed.set()
        assert got.event("lost").detail.startswith("it sends no pictures that can be decoded")
        assert "mpeg2video" in got.event("resumed").detail
        over.set()


def test_a_playlist_that_ends_is_not_played_again(small_clip: Path, tmp_path: Path, capturing: Capturing) -> None:
    with hls(small_clip, tmp_path, seconds=5) as server:
        got = Gathered(capturing(server.url))
        got.event("connected")
        got.until(lambda _: any(event.detail.startswith("the playlist has ended") for event in got.of("lost")))
        assert got.of("lost")[0].detail.startswith("the source closed the connection")
        assert 25 <= len(got.frames) <= 125 and "resumed" not in got.kinds
        stop_at_once(got.capture)


def test_pauses_are_doubled_up_to_a_minute_and_jittered() -> None:
    from fer_model.sources.live.loss import QUIET_END, Loss

    pauses, refused = Pauses(), Loss("", locked=True)
    for failures, least in enumerate([0.5, 1, 2, 4, 8, 16, 32, 60, 60]):
        drawn = [pauses.after(failures, QUIET_END) for _ in range(50)]
        assert least <= min(drawn) and max(drawn) <= min(60, least * 1.25)
        assert len(set(drawn)) > 1 or least == 60
    assert all(15 <= pauses.after(0, refused) <= 18.75 for _ in range(50))
    assert pauses.after(10_000, QUIET_END) == 60
