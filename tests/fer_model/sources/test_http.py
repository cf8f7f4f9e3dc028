import hashlib
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from fer_model.errors import TransientMediaError, UnreadableMediaError
from fer_model.sources import open_source
from fer_model.sources.discover import Found, find_media
from fer_model.sources.files import masked
from fer_model.sources.images import read_picture
from fer_model.sources.index import VideoIndex, index_video
from fer_model.sources.opening import open_media
from fer_model.sources.remote import ATTEMPTS, BLOCK
from fer_model.sources.sampling import Sampling
from fer_model.sources.segments import cut
from fer_model.types import Image
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.servers import FileServer, serving

PICTURES = list(panning_frames(noise_picture(), 60))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setattr("fer_model.sources.remote.WAIT_S", 0.001)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer({})) as running:
        yield running


def host_of(uri: str) -> list[str]:
    """Roots that permit the URI's host, which is an inner one."""
    parts = urlsplit(uri)
    return [f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"] if parts.scheme else []


def frames(uri: str, start_ms: int = 0, end_ms: int | None = None, start_frame: int = 0) -> list[tuple[int, int, str]]:
    roots = host_of(uri)
    piece = open_source(
        uri, kind="video", start_ms=start_ms, end_ms=end_ms, start_frame=start_frame, threads=1, roots=roots
    )
    return [(frame.index, frame.time_ms, hashlib.sha256(frame.image.tobytes()).hexdigest()) for frame in piece]


def properties(index: VideoIndex) -> tuple[object, ...]:
    return index.width, index.height, index.fps, index.duration_ms, index.times_ms.tolist(), index.segmentable


def complaint(uri: str, kind: type[UnreadableMediaError] = UnreadableMediaError) -> str:
    """The error for a URI, which begins with it and is the same for a video and for a picture."""
    sentences = []
    for attempt in (index_video, read_picture):
        with pytest.raises(UnreadableMediaError) as caught:
            attempt(uri, host_of(uri))
        assert type(caught.value) is kind
        assert str(caught.value).startswith(f"{masked(uri)}: ")
        sentences.append(str(caught.value).removeprefix(f"{masked(uri)}: "))
    assert sentences[0] == sentences[1]
    return sentences[0]


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "libx264", {}),
        ("mp4", "libx264", {"movflags": "faststart"}),
        ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("mp4", "libx265", {}),
        ("mov", "mpeg4", {}),
        ("mp4", "libvpx-vp9", {}),
        ("mkv", "libx264", {}),
        ("webm", "libvpx", {}),
        ("avi", "mpeg4", {}),
    ],
)
def test_videos_are_the_same_from_a_server(
    tmp_path: Path, server: FileServer, suffix: str, codec: str, options: dict[str, str]
) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, codec=codec, gop=20, container_options=options)
    server.files["/a"] = path.read_bytes()
    for ranges in (True, False):
        server.ranges = ranges
        index = index_video(str(path))
        assert properties(index_video(f"{server.url}/a", host_of(server.url)))[:5] == properties(index)[:5]
        assert index_video(f"{server.url}/a", host_of(server.url)).segmentable == (ranges and index.segmentable)
        assert frames(f"{server.url}/a") == frames(str(path))
        for piece in cut(index, Sampling(), 700):
            place = piece.start_ms, piece.end_ms, piece.start_frame
            assert frames(f"{server.url}/a", *place) == frames(str(path), *place)


@pytest.mark.parametrize("start", [5000, -200])
def test_times_and_edit_lists_are_the_same_from_a_server(tmp_path: Path, server: FileServer, start: int) -> None:
    times = [n * n for n in range(60)]
    path = write_clip(tmp_path / "a.mp4", PICTURES, pts=times, start=start, bframes=3, gop=250)
    server.files["/a.mp4"] = path.read_bytes()
    assert properties(index_video(f"{server.url}/a.mp4", host_of(server.url))) == properties(index_video(str(path)))
    assert frames(f"{server.url}/a.mp4", 1000, 2000, 7) == frames(str(path), 1000, 2000, 7)


def test_a_truncated_video_is_the_same_from_a_server(tmp_path: Path, server: FileServer) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    server.files["/a.mp4"] = path.read_bytes()
    near, far = index_video(str(path)), index_video(f"{server.url}/a.mp4", host_of(server.url))
    assert properties(far) == properties(near)
    assert near.warning and far.warning == near.warning.replace(str(path), f"{server.url}/a.mp4")
    assert frames(f"{server.url}/a.mp4") == frames(str(path))


def grain(count: int) -> Iterator[Image]:
    """Pictures that no codec makes small."""
    base = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    for number in range(count):
        yield np.ascontiguousarray(np.roll(base, number * 37, axis=1)[:, :480])


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_a_second_from_the_middle_of_a_long_mp4_costs_little_more_than_itself(
    tmp_path: Path, server: FileServer, options: dict[str, str]
) -> None:
    path = write_clip(tmp_path / "a.mp4", grain(500), gop=25, options={"crf": "30"}, container_options=options)
    content = server.files["/a.mp4"] = path.read_bytes()
    a_second = len(content) / 20
    assert a_second > 4 * BLOCK
    assert properties(index_video(f"{server.url}/a.mp4", host_of(server.url))) == properties(index_video(str(path)))
    assert server.sent < 5 * BLOCK  # the index, and the first picture
    server.sent = 0
    assert frames(f"{server.url}/a.mp4", 10_000, 11_000, 250) == frames(str(path), 10_000, 11_000, 250)
    assert server.sent < 3 * a_second < len(content) / 6


def test_pictures(tmp_path: Path, server: FileServer) -> None:
    from PIL import Image as Pillow

    picture = np.random.default_rng(0).integers(0, 255, (600, 700, 3), np.uint8)
    Pillow.fromarray(picture).save(tmp_path / "a.png")
    Pillow.fromarray(picture[:50, :50]).save(tmp_path / "small.png")
    for name in ("a.png", "small.png"):
        server.files[f"/{name}"] = (tmp_path / name).read_bytes()
    assert len(server.files["/a.png"]) > 2 * BLOCK
    for server.ranges in (True, False):
        assert (read_picture(f"{server.url}/a.png", host_of(server.url)) == picture).all()
    server.ranges, server.sent = True, 0
    server.requests.clear()
    read_picture(f"{server.url}/small.png", host_of(server.url))
    assert len(server.requests) == 1
    (frame,) = open_source(f"{server.url}/small.png?size=full", kind="image", roots=host_of(server.url))
    assert (frame.index, frame.time_ms) == (0, 0)


def test_any_byte_can_be_read(server: FileServer) -> None:
    content = server.files["/a"] = np.random.default_rng(0).bytes(5 * BLOCK + 123)
    with open_media(f"{server.url}/a", host_of(server.url)) as file:
        for start in (4 * BLOCK - 7, 0, len(content) - 3, 2 * BLOCK):
            file.seek(start)
            assert file.read(2 * BLOCK) == content[start : start + 2 * BLOCK]
        assert file.seek(0, 2) == len(content)
        assert file.read() == b""


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, "does not exist (the server answered 404)"),
        (403, "the server refused (403 Forbidden)"),
        (401, "the server requires a password (401); put it into a netrc file that NETRC names"),
    ],
)
def test_refusals_are_not_repeated(server: FileServer, status: int, sentence: str) -> None:
    server.failures = [status] * 2
    assert complaint(f"{server.url}/a.jpg") == sentence
    assert len(server.requests) == 2


def test_what_is_there_but_is_nothing(server: FileServer) -> None:
    server.files |= {"/empty.mp4": b"", "/text.mp4": b"no video" * 99}
    for server.ranges in (True, False):
        assert complaint(f"{server.url}/empty.mp4") == "the file is empty"
        with pytest.raises(UnreadableMediaError, match=r"text\.mp4: is not a video \(unknown format\)"):
            index_video(f"{server.url}/text.mp4", host_of(server.url))
        with pytest.raises(UnreadableMediaError, match=r"text\.mp4: is not a picture"):
            read_picture(f"{server.url}/text.mp4", host_of(server.url))


def test_what_may_pass_is_tried_again(tmp_path: Path, server: FileServer) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES)
    content = server.files["/a.mp4"] = path.read_bytes()
    server.failures, server.cuts = [503, 429], [len(content) // 2]
    assert frames(f"{server.url}/a.mp4") == frames(str(path))
    server.failures = [503] * 2 * ATTEMPTS
    assert complaint(f"{server.url}/a.mp4", TransientMediaError) == "the server answered 503 Service Unavailable"
    server.cuts = [100] * 2 * ATTEMPTS
    assert complaint(f"{server.url}/a.mp4", TransientMediaError) == "the connection broke"


def test_a_server_that_goes_away_in_the_middle_is_no_end_of_the_video(tmp_path: Path, server: FileServer) -> None:
    path = write_clip(tmp_path / "a.mp4", grain(150), gop=25, container_options={"movflags": "faststart"})
    server.files["/a.mp4"] = path.read_bytes()
    pieces = open_source(f"{server.url}/a.mp4", kind="video", threads=1, roots=host_of(server.url))
    next(pieces)
    server.failures = [500] * 99
    with pytest.raises(TransientMediaError, match=r"a\.mp4: the server answered 500"):
        list(pieces)


def test_no_server_is_there() -> None:
    with serving(FileServer({})) as gone:
        pass
    assert complaint(f"{gone.url}/a.mp4", TransientMediaError) == "the server cannot be reached"


def test_a_file_that_changes_meanwhile(server: FileServer) -> None:
    server.files["/a"] = bytes(3 * BLOCK)
    with open_media(f"{server.url}/a", host_of(server.url)) as file:
        server.files["/a"] = bytes(2 * BLOCK)
        with pytest.raises(UnreadableMediaError, match=r"/a: has changed while it was read"):
            file.read()


def test_a_whole_download_has_a_limit(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_model.sources.http.MAX_WHOLE", 2**20)
    server.ranges, server.files["/a.mp4"] = False, bytes(2**21)
    assert complaint(f"{server.url}/a.mp4").endswith("and the server cannot send a part of it")


def test_redirects_stay_within_the_roots(server: FileServer) -> None:
    server.files["/in/a.jpg"] = b"x"
    with serving(FileServer({"/b.jpg": b"other"})) as other:
        server.redirects = {
            "/in/good.jpg": "/in/a.jpg",
            "/in/up.jpg": "/secret/a.jpg",
            "/in/away.jpg": f"{other.url}/b.jpg?sig=hidden",
            "/in/file.jpg": "file:///etc/passwd",
            "/in/round.jpg": "/in/round.jpg",
        }
        with open_media(f"{server.url}/in/away.jpg", [f"{server.url}/", f"{other.url}/"]) as file:
            assert file.read() == b"other"
        roots = [f"{server.url}/in/"]
        with open_media(f"{server.url}/in/good.jpg", roots) as file:
            assert file.read() == b"x"
        other.requests.clear()
        for name, sentence in {
            "up": f"is redirected to {server.url}/secret/a.jpg: lies outside FER_MEDIA_ROOTS",
            "away": f"is redirected to {other.url}/b.jpg: lies outside FER_MEDIA_ROOTS",
            "file": "is redirected to file:///etc/passwd: is not on a web server",
            "round": "is redirected more than 5 times",
        }.items():
            with pytest.raises(UnreadableMediaError) as caught, open_media(f"{server.url}/in/{name}.jpg", roots):
                pass
            assert str(caught.value) == f"{server.url}/in/{name}.jpg: {sentence}"
        assert not other.requests


def test_secrets_do_not_show(server: FileServer) -> None:
    url = f"{server.url}/a.mp4?X-Amz-Signature=hidden&token=hidden&sig=hidden"
    for server.failures in ([403], [500] * ATTEMPTS):
        with pytest.raises(UnreadableMediaError) as caught:
            index_video(url, host_of(url))
        assert "hidden" not in "".join(traceback.format_exception(caught.value))
        assert str(caught.value).startswith(f"{server.url}/a.mp4: ")
    assert server.requests[0][0].endswith("hidden")
    assert masked("https://me:secret@host/a.jpg?b") == "https://***@host/a.jpg"


def test_passwords_do_not_belong_into_urls(server: FileServer) -> None:
    url = server.url.replace("http://", "http://me:secret@") + "/a.jpg"
    sentence = (
        "user and password do not belong here; put them into a netrc file that the environment variable NETRC names"
    )
    assert complaint(url) == sentence
    shown = server.url.replace("http://", "http://***@") + "/a.jpg"
    assert list(find_media([url])) == [Found(shown, None, f"{shown}: {sentence}")]
    assert not server.requests


def test_passwords_come_from_the_file_that_the_environment_names(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    server.files["/a"] = b"x"
    for named in (False, True):
        if named:
            monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        with open_media(f"{server.url}/a", host_of(server.url)):
            assert (server.authorizations[-1] is not None) == named


def test_a_url_names_one_file_and_no_server_is_asked_for_it() -> None:
    urls = ["http://host/a.mp4?sig=1", "https://host/A.JPG", "http://host/a.mp4?sig=1", "http://host/*.png"]
    assert list(find_media(urls)) == [
        Found("http://host/a.mp4?sig=1", "video"),
        Found("https://host/A.JPG", "image"),
        Found("http://host/*.png", "image"),
    ]
    (found,) = find_media(["http://host/page?name=a.mp4"])
    assert found.error == "http://host/page: is neither a picture nor a video by its name"


def test_local_files_need_none_of_the_libraries(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES[:5])
    code = (
        "import sys\nfrom fer_model.sources import open_source\nfrom fer_model.sources.discover import find_media\n"
        "list(find_media(sys.argv[1:]))\nlist(open_source(sys.argv[1], kind='video'))\n"
        "assert not {'fsspec', 's3fs', 'aiohttp', 'botocore', 'requests'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
