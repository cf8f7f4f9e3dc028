import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_model.errors import TransientMediaError, UnreadableMediaError
from fer_model.sources import open_source
from fer_model.sources.discover import find_media
from fer_model.sources.images import read_picture
from fer_model.sources.index import index_video
from fer_model.sources.opening import open_media
from fer_model.sources.remote import BLOCK
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.servers import FileServer, s3_server, serving

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(autouse=True)
def environment(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setattr("fer_model.sources.remote.WAIT_S", 0.001)


@pytest.fixture
def bucket(endpoint: str) -> str:
    from fer_model.sources.s3 import _files

    name = f"media-{uuid.uuid4().hex}"
    _files().call_s3("create_bucket", Bucket=name)
    return name


def put(bucket: str, **objects: bytes) -> None:
    from fer_model.sources.s3 import _files

    for key, body in objects.items():
        _files().call_s3("put_object", Bucket=bucket, Key=key, Body=body)


@pytest.fixture
def tree(bucket: str) -> str:
    names = (
        "10.jpg",
        "2.JPG",
        "notes.txt",
        ".hidden.jpg",
        "a/clip.MP4",
        "a/b/x.png",
        ".git/y.png",
        "take[1].jpg",
        "a/",
    )
    put(bucket, **dict.fromkeys(names, b"x"))
    return f"s3://{bucket}"


def names(*uris: str) -> list[str]:
    found = list(find_media(uris))
    assert all(each.error is None for each in found)
    return [each.uri.split("/", 3)[3] for each in found]


def complaint(uri: str, kind: type[UnreadableMediaError] = UnreadableMediaError) -> str:
    sentences = []
    for attempt in (index_video, read_picture):
        with pytest.raises(UnreadableMediaError) as caught:
            attempt(uri)
        assert type(caught.value) is kind
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]
    return sentences[0].removeprefix(f"{uri}: ")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["2.JPG", "10.jpg", "a/b/x.png", "a/clip.MP4", "take[1].jpg"]),
        ("/", ["2.JPG", "10.jpg", "a/b/x.png", "a/clip.MP4", "take[1].jpg"]),
        ("/a", ["a/b/x.png", "a/clip.MP4"]),
        ("/a/", ["a/b/x.png", "a/clip.MP4"]),
        ("/a/clip.MP4", ["a/clip.MP4"]),
        ("/*.jpg", ["10.jpg", "take[1].jpg"]),
        ("/**/*.png", ["a/b/x.png"]),
        ("/**/*.jpg", ["10.jpg", "take[1].jpg"]),
        ("/a/*", ["a/b/x.png", "a/clip.MP4"]),
        ("/?", ["a/b/x.png", "a/clip.MP4"]),
        ("/**", ["2.JPG", "10.jpg", "a/b/x.png", "a/clip.MP4", "take[1].jpg"]),
        ("/take[1].jpg", ["take[1].jpg"]),
        ("/.*/*", [".git/y.png"]),
    ],
)
def test_folders_and_globs_as_for_files(tree: str, pattern: str, expected: list[str]) -> None:
    assert names(tree + pattern) == expected


def test_an_object_that_is_reached_twice_is_listed_once(tree: str) -> None:
    assert names(f"{tree}/10.jpg", tree, f"{tree}/*", f"{tree}/10.jpg")[:2] == ["10.jpg", "2.JPG"]
    assert len(names(f"{tree}/10.jpg", tree, f"{tree}/*")) == 5


def test_lists_of_several_pages(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    put(bucket, **{f"{number}.jpg": b"x" for number in range(12)})
    assert names(f"s3://{bucket}") == [f"{number}.jpg" for number in range(12)]


def test_complaints_while_looking(tree: str) -> None:
    put(tree.removeprefix("s3://"), **{"empty.jpg": b""})
    for uri, sentence in {
        f"{tree}/no.jpg": "does not exist",
        f"{tree}/no/": "contains no picture or video",
        f"{tree}/*.webp": "matches no picture or video",
        f"{tree}/notes.txt": "is neither a picture nor a video by its name",
        f"{tree}/empty.jpg": "the file is empty",
        "s3://there-is-none/": "there is no such bucket",
        "s3://there-is-none/a.jpg": "there is no such bucket",
        "s3://what!/a.jpg": "is no name that an object can have",
        "s3://": "names no valid host",
    }.items():
        (found,) = find_media([uri])
        assert found.error == f"{uri}: {sentence}"


def test_videos_and_pictures_are_the_same_from_s3(tmp_path: Path, bucket: str) -> None:
    path = write_clip(tmp_path / "a.mp4", panning_frames(noise_picture(), 60), gop=20, bframes=2)
    put(bucket, **{"a.mp4": path.read_bytes()})
    near, far = index_video(str(path)), index_video(f"s3://{bucket}/a.mp4")
    assert far.times_ms.tolist() == near.times_ms.tolist()
    assert (far.width, far.height, far.duration_ms, far.segmentable) == (96, 64, near.duration_ms, True)
    for start_ms, end_ms in ((0, None), (1000, 1800)):
        pieces = [
            [(frame.index, frame.time_ms, frame.image.tobytes()) for frame in source]
            for source in (
                open_source(uri, kind="video", start_ms=start_ms, end_ms=end_ms, threads=1)
                for uri in (str(path), f"s3://{bucket}/a.mp4")
            )
        ]
        assert pieces[0] == pieces[1]
    from PIL import Image as Pillow

    Pillow.fromarray(noise_picture()).save(tmp_path / "a.png")
    put(bucket, **{"a.png": (tmp_path / "a.png").read_bytes()})
    assert (read_picture(f"s3://{bucket}/a.png") == noise_picture()).all()


def test_any_byte_can_be_read(bucket: str) -> None:
    content = bytes(range(256)) * (BLOCK // 64)
    put(bucket, **{"a.mp4": content})
    with open_media(f"s3://{bucket}/a.mp4") as file:
        file.seek(2 * BLOCK - 3)
        assert file.read(100) == content[2 * BLOCK - 3 :][:100]


def test_complaints_while_reading(bucket: str) -> None:
    put(bucket, **{"folder/empty.mp4": b""})
    assert complaint(f"s3://{bucket}/no.mp4") == "does not exist"
    assert complaint(f"s3://{bucket}/folder") == "is a folder"
    assert complaint(f"s3://{bucket}/folder/empty.mp4") == "the file is empty"
    assert complaint("s3://there-is-none/a.mp4") == "there is no such bucket"


def test_credentials_come_from_the_environment(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, **{"a.mp4": b"x"})
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text("[default]\naws_access_key_id=a\naws_secret_access_key=b\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    sentence = complaint(f"s3://{bucket}/a.mp4")
    assert sentence == "the server refused (Forbidden; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set)"
    with pytest.raises(UnreadableMediaError) as caught, open_media("s3://me:secret@bucket/a.mp4"):
        pass
    assert str(caught.value) == (
        "s3://***@bucket/a.mp4: user and password do not belong here; put them into the environment variables "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


def test_a_server_that_fails_may_do_better_later(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(FileServer({}, failures=[503] * 99)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        assert complaint("s3://bucket/a.mp4", TransientMediaError).startswith("the server cannot answer now")
    assert complaint("s3://bucket/a.mp4", TransientMediaError).startswith("the server cannot be reached")


def test_a_connection_that_breaks_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(FileServer({"/bucket/a.mp4": bytes(BLOCK)}, cuts=[BLOCK // 2])) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with open_media("s3://bucket/a.mp4") as file:
            assert file.read() == bytes(BLOCK)
        server.cuts = [100] * 99
        assert complaint("s3://bucket/a.mp4", TransientMediaError).startswith(
            "the server cannot be reached, or the conn"
        )
