"""Addresses of live sources: what is accepted, and where the login goes."""

import pytest

from fer_model.errors import StreamAddressError
from fer_model.sources.live.address import has_srt, parse_address, with_login
from fer_model.sources.live.opening import Source


@pytest.mark.parametrize(
    ("given", "kept", "login"),
    [
        ("rtsp://cam:secret@10.0.0.5/ch1", "rtsp://10.0.0.5/ch1", ("cam", "secret")),
        ("RTSP://cam:a%2Fb%40c@[fe80::1]:554/x?y=1", "rtsp://[fe80::1]:554/x?y=1", ("cam", "a/b@c")),
        ("rtsps://us%40er:p@ss@host", "rtsps://host", ("us@er", "p@ss")),
        ("http://cam@host:8080/live.m3u8", "http://host:8080/live.m3u8", ("cam", None)),
        ("https://host/mjpg", "https://host/mjpg", None),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234", None),
        ("udp://:1234", "udp://:1234", None),
        ("tcp://127.0.0.1:9000", "tcp://127.0.0.1:9000", None),
        ("/dev/video0", "/dev/video0", None),
        ("/dev/v4l/by-id/usb-Cam_1-video-index0", "/dev/v4l/by-id/usb-Cam_1-video-index0", None),
        ("file:///a folder/clip.mp4", "file:///a%20folder/clip.mp4", None),
    ],
)
def test_the_login_is_taken_out_of_an_address(given: str, kept: str, login: tuple[str, str | None] | None) -> None:
    assert parse_address(given) == (kept, login)
    if login:
        assert parse_address(with_login(kept, login)) == (kept, login)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("ftp://u:hidden@host/x", "begins with rtsp, rtsps, http, https, udp, tcp, srt or file"),
        ("clip.mp4", "begins with rtsp"),
        ("/dev/sda", "begins with rtsp"),
        ("rtsp:/hidden", "begins with rtsp"),
        ("rtsp://u:1/hidden@host/x", "an @ behind its host"),
        ("rtsp://u:12#hidden@host/x", "an @ behind its host"),
        ("rtsp://u:hidden@/x", "names no valid host"),
        ("rtsp://u:hidden@ho st/x", "names no valid host"),
        ("rtsp://u:hidden@host:99999/x", "1 to 65535"),
        ("rtsp://u:hidden@host:0/x", "1 to 65535"),
        ("tcp://host", "needs a port"),
        ("udp://u:hidden@host:1", "has no login"),
        ("file://hidden/clip.mp4", "an absolute path"),
    ],
)
def test_other_addresses_are_refused_without_being_quoted(given: str, reason: str) -> None:
    with pytest.raises(StreamAddressError, match=reason) as caught:
        parse_address(given)
    assert "hidden" not in str(caught.value)


def test_srt_is_read_where_the_library_can() -> None:
    if has_srt():
        assert parse_address("srt://host:1") == ("srt://host:1", None)
    else:
        with pytest.raises(StreamAddressError, match="has no SRT"):
            parse_address("srt://host:1")


def test_a_source_does_not_show_its_login() -> None:
    assert "hidden" not in repr(Source("rtsp://host/x", ("cam", "hidden")))
