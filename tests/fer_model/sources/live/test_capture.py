"""Captures from real servers, of every kind that is read."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep, time

import numpy as np
import pytest

from fer_model.errors import StreamAddressError
from fer_model.sources.live.address import parse_address
from fer_model.sources.live.capture import Capture
from fer_model.sources.live.loss import SILENT
from fer_model.sources.roots import check_permitted
from fer_model.sources.video import read_video
from tests.support.captures import Gathered
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.live_servers import (
    LiveServer,
    hls,
    http_mjpeg,
    http_ts,
    plain_rtsp_server,
    rtsp_server,
    tcp_ts,
    udp_ts,
    wait_until,
)
from tests.support.servers import FileServer, raw_server, serving

Capturing = Callable[..., Capture]

SERVERS: dict[str, Callable[[Path, Path], AbstractContextManager[LiveServer | None]]] = {
    "rtsp": lambda clip, folder: rtsp_server(clip, "cam", "se/cr@t"),
    "plain rtsp": lambda clip, folder: plain_rtsp_server(clip),
    "http": lambda clip, folder: http_ts(clip),
    "mjpeg": lambda clip, folder: http_mjpeg(clip),
    "tcp": lambda clip, folder: tcp_ts(clip),
    "udp": lambda clip, folder: udp_ts(clip),
    "hls": lambda clip, folder: hls(clip, folder),
    "file": lambda clip, folder: nullcontext(),
}


def began_silent(got: Gathered) -> bool:
    """On a busy machine GStreamer's server was seen to send its first client nothing for seconds. The capture connects
    again, as it should, and by then the server plays."""
    return got.events[0].detail.startswith(SILENT.reason)


@pytest.mark.parametrize("kind", SERVERS)
def test_every_kind_of_source_gives_its_pictures_with_their_times(
    kind: str, small_clip: Path, tmp_path: Path, capturing: Capturing
) -> None:
    with SERVERS[kind](small_clip, tmp_path) as server:
        uri, login = parse_address(server.url_with_login if server else f"file://{small_clip}")
        begun = time() * 1000
        got = Gathered(capturing(uri, login=login)).more(30)
        if "rtsp" in kind and began_silent(got):
            got = Gathered(capturing(uri, login=login)).more(30)
        frames, figures = got.frames, got.capture.figures()
    assert got.kinds[0] == "connected" and got.events[0].detail.startswith("320x180, "), got.events
    assert {frame.size for frame in frames} == {(320, 180)}
    image = frames[-1].image()
    assert image.shape == (180, 320, 3) and image.dtype == np.uint8 and image.std() > 20
    times = [frame.at_ms for frame in frames]
    assert all(earlier < later for earlier, later in pairwise(times))
    # What a server had sent before, or has in its list, is older than the connection; nothing is of the future.
    assert begun - 15_000 < times[0] and times[-1] <= time() * 1000
    assert np.median(np.diff(times)) == pytest.approx(40, abs=15)
    assert figures.state == "live" and (figures.skipped["decode"] == 0 or kind == "udp")
    assert figures.clock == "arrival" or "rtsp" in kind
    assert figures.captured >= 30 and figures.reconnects == 0


@pytest.mark.parametrize("set_by", [3600.0, -3600.0])
def test_a_wall_clock_that_is_set_stops_no_frame_and_dates_the_next_ones(
    set_by: float, small_clip: Path, capturing: Capturing, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = Gathered(capturing(f"file://{small_clip}")).more(10)
    for module in ("capture", "connection"):
        monkeypatch.setattr(f"fer_model.sources.live.{module}.time", lambda: time() + set_by)
    goal = (time() + set_by) * 1000
    got.until(lambda _: abs(got.frames[-1].at_ms - goal) < 60_000).more(30, seconds=20.0)
    assert abs(got.frames[-1].at_ms - goal) < 120_000


def test_everything_keeps_every_picture_while_none_is_taken(
    small_clip: Path, tmp_path: Path, capturing: Capturing
) -> None:
    with tcp_ts(small_clip) as server:
        ready: list[None] = []
        capture = capturing(server.url, policy="everything", spool=tmp_path, on_ready=lambda: ready.append(None))
        wait_until(lambda: capture.figures().captured >= 60)
        assert 0 < len(ready) <= 16, "decoding waits for the frames to be taken"
        assert list(tmp_path.iterdir()) == [], "its files have no names"
        got = Gathered(capture).more(60)
    steps = np.diff([frame.at_ms for frame in got.frames])
    assert set(np.round(steps / 40)) == {1.0}, "no picture is missing"
    assert not any(capture.figures().skipped.values())


def test_a_spool_that_is_full_loses_its_oldest_pictures_and_says_so(
    small_clip: Path, tmp_path: Path, capturing: Capturing
) -> None:
    capture = capturing(f"file://{small_clip}", policy="everything", spool=tmp_path, spool_limit=150_000)
    wait_until(lambda: capture.figures().skipped["overload"] > 0)
    got = Gathered(capture)
    assert "the oldest pictures are dropped" in got.event("degraded").detail
    assert got.event("degraded").detail == "no pictures are dropped any more"


def test_realtime_has_nothing_old_to_give(small_clip: Path, capturing: Capturing) -> None:
    capture = capturing(f"file://{small_clip}")
    wait_until(lambda: capture.figures().captured >= 60)
    frame = Gathered(capture).more(1).frames[0]
    assert time() * 1000 - frame.at_ms < 1500
    figures = capture.figures()
    assert figures.skipped["stale"] >= 60 - 16 - 2 and figures.skipped["decode"] == 0


def test_frames_that_fps_does_not_ask_for_are_no_drops_and_a_lowered_rate_is_overload(
    small_clip: Path, capturing: Capturing
) -> None:
    got = Gathered(capturing(f"file://{small_clip}", fps=5)).more(10)
    figures = got.capture.figures()
    assert figures.captured >= 40 and figures.wanted <= figures.captured / 4
    assert np.median(np.diff([frame.at_ms for frame in got.frames])) == pytest.approx(200, abs=45)
    assert figures.skipped["overload"] == 0
    got.capture.limit_rate(1)
    got.until(lambda _: got.capture.figures().skipped["overload"] >= 6)


def test_rtcp_gives_the_time_of_capture(small_clip: Path, capturing: Capturing) -> None:
    with rtsp_server(small_clip) as server:
        got = Gathered(capturing(server.url))
        assert "RTCP" in got.event("clock").detail
        last = got.more(20).frames[-1]
    assert last.clock == got.capture.figures().clock == "rtcp"
    assert abs(time() * 1000 - last.at_ms) < 5000


def test_of_a_playlist_s_variants_the_largest_alone_is_fetched(tmp_path: Path, capturing: Capturing) -> None:
    files = {"/all.m3u8": b"#EXTM3U\n"}
    for name, size in (("small", (64, 48)), ("large", (96, 64))):
        clip = write_clip(tmp_path / f"{name}.ts", panning_frames(noise_picture(), 25, size), gop=25, bframes=0)
        files[f"/{name}.ts"] = clip.read_bytes()
        files[f"/{name}.m3u8"] = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}.ts\n".encode()
        variant = f"#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION={size[0]}x{size[1]}\n{name}.m3u8\n"
        files["/all.m3u8"] += variant.encode()
    with serving(FileServer(files)) as server:
        got = Gathered(capturing(f"{server.url}/all.m3u8")).more(10)
        wait_until(lambda: server.requests.count(("/large.m3u8", "bytes=0-")) >= 3)
        assert got.frames[0].size == (96, 64)
        assert server.requests.count(("/small.m3u8", "bytes=0-")) == 1


def test_segments_that_come_as_slowly_as_they_last_lose_no_pictures(tmp_path: Path, capturing: Capturing) -> None:
    """A network that is little faster than the stream."""
    pictures, segments = list(panning_frames(noise_picture(), 50, (320, 180))), []
    for number in range(8):
        # Large: FFmpeg reads 32 kB at a time.
        clip = write_clip(
            tmp_path / f"{number}.ts", pictures, gop=25, bframes=0, start=2000 * number, options={"crf": "8"}
        )
        segments.append(clip.read_bytes())
    begun = monotonic()

    def answer(head: bytes) -> Iterable[bytes]:
        name = head.split()[1].decode()
        if name == "/live.m3u8":
            newest = min(len(segments), int((monotonic() - begun) / 2) + 1)
            listed = "".join(f"#EXTINF:2,\n{number}.ts\n" for number in range(newest))
            yield f"HTTP/1.0 200 OK\r\n\r\n#EXTM3U\n#EXT-X-TARGETDURATION:2\n{listed}".encode()
            return
        yield b"HTTP/1.0 200 OK\r\n\r\n"
        content = segments[int(name[1:].removesuffix(".ts"))]
        asked, step = monotonic(), len(content) // 20
        for piece in range(0, len(content), step):
            yield content[piece : piece + step]
            sleep(max(0.0, asked + 1.5 * (piece + step) / len(content) - monotonic()))

    with raw_server(answer) as url:
        got = Gathered(capturing(f"{url}/live.m3u8")).until(lambda got: got.capture.figures().captured >= 200)
    figures = got.capture.figures()
    assert figures.skipped["stale"] <= figures.captured / 3, "half of the first segment, before its pace is known"


def test_pixels_that_are_not_square_and_pictures_without_a_codec(tmp_path: Path, capturing: Capturing) -> None:
    frames = list(panning_frames(noise_picture(), 25, (64, 48)))
    raw = write_clip(tmp_path / "raw.avi", frames, codec="rawvideo")
    assert Gathered(capturing(f"file://{raw}")).more(3).frames[0].image().shape == (48, 64, 3)
    wide = write_clip(tmp_path / "wide.mp4", frames, options={"x264-params": "sar=2/1"})
    frame = Gathered(capturing(f"file://{wide}")).more(1).frames[0]
    assert frame.size == (128, 48) and frame.image().shape == (48, 128, 3)


def test_a_file_s_pictures_are_turned_as_it_says(tmp_path: Path, capturing: Capturing) -> None:
    frames = list(panning_frames(noise_picture(), 25, (64, 48)))
    clip = write_clip(tmp_path / "tall.mp4", frames, rotation=90)
    frame = Gathered(capturing(f"file://{clip}")).more(1).frames[0]
    assert frame.size == (48, 64) and frame.image().shape == (64, 48, 3)
    assert np.abs(frame.image().astype(int) - next(read_video(str(clip))).image).mean() < 3


def test_a_file_begins_again_at_its_end_and_time_goes_on(tmp_path: Path, capturing: Capturing) -> None:
    clip = write_clip(tmp_path / "short.mp4", panning_frames(noise_picture(), 10, (64, 48)), bframes=2, gop=5)
    got = Gathered(capturing(f"file://{clip}")).more(30)
    assert got.kinds == ["connected"]
    assert np.diff([frame.at_ms for frame in got.frames]).min() > 0


def test_the_roots_of_media_hold_for_streams_too(tmp_path: Path, small_clip: Path, capturing: Capturing) -> None:
    check_permitted("rtsp://10.0.0.5/ch1", ["rtsp://10.0.0.5:554/"])
    for uri in (f"file://{small_clip}", "rtsp://10.0.0.6/ch1", "/dev/video0", "udp://127.0.0.1:1"):
        with pytest.raises(StreamAddressError, match="lies outside FER_MEDIA_ROOTS"):
            Capture(uri, roots=[str(tmp_path), "rtsp://10.0.0.5/"])
    (link := tmp_path / "clip.mp4").symlink_to(small_clip)
    got = Gathered(capturing(f"file://{link}", roots=[str(small_clip.parent)])).more(1)
    link.unlink()
    link.symlink_to(write_clip(tmp_path / "other.mp4", panning_frames(noise_picture(), 5)))
    assert "lies outside FER_MEDIA_ROOTS" in got.event("lost").detail, "each opening is checked"


def test_a_camera_at_this_machine_is_opened_by_its_device(capturing: Capturing) -> None:
    """No such device can be made here: that it is missing is all that can be seen."""
    got = Gathered(capturing("/dev/video93"))
    assert got.event("lost").detail.startswith(
        "there is no such file or device; it is tried again, after pauses of up to a minute"
    )
    assert got.capture.figures().state == "connecting"


def test_a_camera_of_one_frame_a_second_is_read_at_once(tmp_path: Path, capturing: Capturing) -> None:
    clip = write_clip(tmp_path / "slow.mp4", [noise_picture(seed=n) for n in range(12)], fps=1, gop=1, bframes=0)
    with rtsp_server(clip) as server:
        got = Gathered(capturing(server.url)).more(3)
        if began_silent(got):
            got = Gathered(capturing(server.url)).more(3)
    assert got.kinds[0] == "connected", "twenty frames, from which FFmpeg would find out the rate, take too long"
