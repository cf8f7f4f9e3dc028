"""Servers that lie, send for ever, or lead to the inner network."""

import re
import struct
import time
from collections.abc import Iterator

import pytest

from fer_model.errors import TransientMediaError, UnreadableMediaError
from fer_model.sources import connecting
from fer_model.sources.connecting import is_inner
from fer_model.sources.http import INNER
from fer_model.sources.images import read_picture
from fer_model.sources.index import index_video
from fer_model.sources.opening import open_media
from tests.support.servers import FileServer, raw_server, serving

OK = b"HTTP/1.1 206 Partial Content\r\n"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_model.sources.remote.WAIT_S", 0.001)


class TooLongError(Exception):
    """A deadline that a test sets."""


def complaint(url: str, roots: tuple[str, ...] | None = None) -> str:
    """The error for a URL, without it: the same for a video and for a picture."""
    sentences = set()
    for attempt in (index_video, read_picture):
        with pytest.raises(UnreadableMediaError) as caught:
            attempt(url, (f"{url.rpartition('/')[0]}/",) if roots is None else roots)
        assert str(caught.value).startswith(f"{url}: ")
        sentences.add(str(caught.value).removeprefix(f"{url}: "))
    (sentence,) = sentences
    return sentence


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (OK + b"Content-Range: bytes 0-9/" + b"9" * 5000, "the server does not say which part of the file it sends"),
        (OK + b"Content-Range: bytes 0-9/" + b"9" * 18, "has 999,999,999,999,999,999 bytes, the server claims"),
        (OK + b"Content-Range: bytes 0-9/*", "the server does not say which part of the file it sends"),
        (OK + b"Content-Range: bytes 0-1/2\r\nContent-Encoding: gzip", "the server sends it compressed"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[", "is redirected to no valid URL"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://a:b:c/", "is redirected to "),
        (b"HTTP/1.1 302 Found\r\nLocation: /a\x00b\x1b[31m\x9b2J", "is redirected to no valid URL"),
        (b"HTTP/1.1 302 Found\r\nLocation: /" + b"a" * 9999, "is redirected to no valid URL"),
        (b"HTTP/1.1 403 SELECT * FROM jobs \x1b[31m", "the server refused (403 Forbidden)"),
        (b"HTTP/1.1 999 ?", "the server answered 999"),
        (b"hello", "the server cannot be reached"),
        (OK + b"A: b\r\n" * 1000, "the server cannot be reached"),
        (OK + b"A: " + b"b" * 10**6, "the server cannot be reached"),
    ],
)
def test_answers_that_no_server_gives(head: bytes, sentence: str) -> None:
    with raw_server(lambda request: (head, b"\r\n\r\nxx")) as url:
        assert complaint(f"{url}/a.jpg").startswith(sentence)


def test_an_answer_a_byte_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_model.sources.connecting.HEAD_S", 0.2)
    monkeypatch.setattr("fer_model.sources.http.PATIENCE_S", 0.2)

    def slowly(content: bytes) -> Iterator[bytes]:
        for byte in content:
            time.sleep(0.02)
            yield bytes([byte])

    with raw_server(lambda request: slowly(OK + b"X: y\r\n" * 5000)) as url:
        assert complaint(f"{url}/a.jpg") == "the server did not answer in time"

    def body(request: bytes) -> Iterator[bytes]:
        yield OK + b"Content-Range: bytes 0-99999/100000\r\nContent-Length: 100000\r\n\r\n"
        yield from slowly(bytes(100_000))

    with raw_server(body) as url:
        assert complaint(f"{url}/a.jpg") == "the server sends too slowly"

    def chunks(request: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            time.sleep(0.02)
            yield b"1\r\nx\r\n"

    with raw_server(chunks) as url:
        assert complaint(f"{url}/a.jpg") == "the server sends too slowly"


def test_a_picture_has_to_arrive_within_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_model.sources.images.WITHIN_S", 0.5)
    requests = []

    def blocks(request: bytes) -> Iterator[bytes]:
        """Each block takes a tenth of a second, and there are thousands."""
        requests.append(request)
        time.sleep(0.1)
        start, end = map(int, re.search(rb"bytes=(\d+)-(\d+)", request).groups())  # type: ignore[union-attr]
        yield OK + b"Content-Range: bytes %d-%d/%d\r\n\r\n" % (start, end, 2**30)
        yield b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 2**31 - 1, b"IDAT") + bytes(end - start - 15)

    with (
        raw_server(blocks) as url,
        pytest.raises(TransientMediaError, match=r"sends too slowly|did not answer in time"),
    ):
        read_picture(f"{url}/a.png", [f"{url}/"])
    assert len(requests) < 12

    def never(request: bytes) -> Iterator[bytes]:
        requests.append(request)
        time.sleep(3)
        yield b""

    requests.clear()
    with (
        raw_server(never) as url,
        pytest.raises(TransientMediaError, match=r"a\.png: the server did not answer in time"),
    ):
        read_picture(f"{url}/a.png", [f"{url}/"])
    assert len(requests) == 1


def test_a_file_that_goes_on_for_ever_ends_with_the_deadline() -> None:
    requests = []

    def boxes(request: bytes) -> tuple[bytes, bytes]:
        requests.append(request)
        start, end = map(int, re.search(rb"bytes=(\d+)-(\d+)", request).groups())  # type: ignore[union-attr]
        length = end + 1 - start
        head = OK + b"Content-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n\r\n" % (start, end, 2**42, length)
        return head, (struct.pack(">I4s", 2**18, b"free") * 2**18)[:length]

    with raw_server(boxes) as url:
        until = time.monotonic() + 1

        def check() -> None:
            if time.monotonic() > until:
                raise TooLongError

        with pytest.raises(TooLongError):
            index_video(f"{url}/a.mp4", (f"{url}/",), check)
    # Of the boxes, each of which takes a request, only the first thousand are looked at.
    assert len(requests) < 5000


@pytest.mark.parametrize(
    ("address", "inner"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("0.0.0.0", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("224.0.0.1", True),
        ("255.255.255.255", True),
        ("8.8.8.8", False),
        ("::1", True),
        ("::", True),
        ("fe80::1%eth0", True),
        ("fd00::1", True),
        ("ff02::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:8.8.8.8", False),
        ("2002:7f00:1::", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2606:4700::1", False),
    ],
)
def test_inner_addresses(address: str, inner: bool) -> None:
    assert is_inner(address) == inner


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "127.1"])
def test_an_inner_address_gets_no_request(host: str) -> None:
    with serving(FileServer({"/a.jpg": b"x"})) as server:
        url = server.url.replace("127.0.0.1", host)
        assert complaint(f"{url}/a.jpg", ()) == INNER
        assert complaint(f"{url}/a.jpg", (f"{server.url}/b/", "/media")) == "lies outside FER_MEDIA_ROOTS"
        assert not server.requests
        with open_media(f"{server.url}/a.jpg", [f"{server.url}/"]) as file:
            assert file.read() == b"x"


def test_a_redirect_to_an_inner_address_gets_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    # Only one of this machine's addresses counts as the internet.
    monkeypatch.setattr(connecting, "is_inner", lambda address: address != "127.0.0.1")
    with serving(FileServer({"/b.jpg": b"x"})) as server:
        inner = server.url.replace("127.0.0.1", "127.0.0.2")
        server.redirects = {"/a.jpg": f"{inner}/b.jpg", "/c.jpg": "/b.jpg"}
        assert complaint(f"{server.url}/a.jpg", ()) == INNER
        with open_media(f"{server.url}/c.jpg") as file:
            assert file.read() == b"x"
        assert [path for path, _ in server.requests] == ["/a.jpg", "/a.jpg", "/c.jpg", "/b.jpg"]


def test_a_proxy_does_not_lead_to_inner_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(FileServer({"/a.jpg": b"x"})) as server, serving(FileServer({"/a.jpg": b"x"})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert complaint(f"{server.url}/a.jpg", ()) == INNER
        assert not proxy.requests and not server.requests


def test_a_host_without_an_address() -> None:
    with pytest.raises(TransientMediaError, match="the server cannot be reached"):
        read_picture("http://nothing.invalid/a.jpg")
