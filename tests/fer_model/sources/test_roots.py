import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from fer_model.errors import UnreadableMediaError
from fer_model.sources import open_source, opening
from fer_model.sources.discover import find_media
from fer_model.sources.index import index_video
from fer_model.sources.roots import check_permitted


def permitted(uri: str, *roots: str) -> bool:
    try:
        check_permitted(uri, roots)
    except UnreadableMediaError as error:
        assert str(error).endswith(": lies outside FER_MEDIA_ROOTS")
        return False
    return True


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("data/a.jpg", "data/sub/b.jpg", "database/c.jpg", "secret/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "data/out.jpg").symlink_to(tmp_path / "secret/d.jpg")
    (tmp_path / "data/outside").symlink_to(tmp_path / "secret")
    (tmp_path / "data/in.jpg").symlink_to(tmp_path / "data/sub/b.jpg")
    (tmp_path / "data/circle").symlink_to(tmp_path / "data/circle")
    (tmp_path / "way").symlink_to(tmp_path / "data")
    return tmp_path


def test_without_roots_everything_is_permitted() -> None:
    for uri in ("/etc/passwd.jpg", "s3://bucket/a.jpg", "http://host/../a.jpg"):
        assert permitted(uri)


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("data/a.jpg", True),
        ("data", True),
        ("data/sub/b.jpg", True),
        ("data/in.jpg", True),
        ("way/a.jpg", True),
        ("data/not-there.jpg", True),
        ("secret/../data/a.jpg", True),
        ("database/c.jpg", False),
        ("data/../secret/d.jpg", False),
        ("data/sub/../../secret/d.jpg", False),
        ("data/out.jpg", False),
        ("data/outside/d.jpg", False),
        ("data/outside/../sub/b.jpg", True),  # `..` is taken off before links are followed, here and when it is opened
        ("data/\0.jpg", False),
        ("", False),
    ],
)
def test_files(data: Path, name: str, inside: bool) -> None:
    for root in ("data", "data/", "way", "./data/../data"):
        assert permitted(f"{data}/{name}", f"{data}/{root}") == inside
        assert permitted(f"{data}/{name}", f"file://{data}/{root}", "s3://bucket/") == inside
    if "\0" not in name and ".." not in name:
        assert permitted(f"file://{data}/{name}", f"{data}/data") == inside
    assert permitted(f"{data}/{name}", "/") == ("\0" not in name)


def test_a_circle_of_links_leads_nowhere_else(data: Path) -> None:
    assert not permitted(f"{data}/data/circle/../../secret/d.jpg", f"{data}/data/sub")


def test_relative_paths_and_uris(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data / "data")
    root = f"{data}/data"
    assert permitted("a.jpg", root) and permitted(f"file://{data}/da%74a/a.jpg", root)
    assert not permitted("../secret/d.jpg", root)
    assert not permitted(f"file://{data}/data/%2e%2e/secret/d.jpg", root)


@pytest.mark.parametrize(
    ("uri", "inside"),
    [
        ("s3://bucket/project/a.jpg", True),
        ("s3://bucket/project/", True),
        ("s3://bucket/project/a/b.jpg", True),
        ("s3://bucket/projects/a.jpg", False),
        ("s3://bucket/a.jpg", False),
        ("s3://bucket2/project/a.jpg", False),
        ("s3://bucket/project/../a.jpg", False),
        ("s3://bucket/project/../project/a.jpg", False),
        ("https://host/media/a.jpg", True),
        ("https://HOST:443/media/a.jpg?b=../c", True),
        ("https://host/me%64ia/a.jpg", True),
        ("https://host/mediathek/a.jpg", False),
        ("https://host/media/../a.jpg", False),
        ("https://host/media/%2e%2e/a.jpg", False),
        ("https://host/media/%252e%252e/a.jpg", False),
        ("https://host/media/..%2fa.jpg", False),
        ("https://host/media/..\\a.jpg", False),
        ("https://host/media%2fa.jpg", False),
        ("http://host/media/a.jpg", False),
        ("https://host:8443/media/a.jpg", False),
        ("https://host:x/media/a.jpg", False),
        ("https://host.evil/media/a.jpg", False),
        ("https://evil/https://host/media/a.jpg", False),
        ("https://evil#@host/media/a.jpg", False),
        ("ftp://host/media/a.jpg", False),
        ("/etc/passwd.jpg", False),
    ],
)
def test_uris(uri: str, inside: bool) -> None:
    assert permitted(uri, "s3://bucket/project/", "https://host/media/") == inside
    assert permitted(uri, "s3://bucket/project", "https://host/media") == inside


def test_a_whole_host_and_a_whole_bucket() -> None:
    roots = "https://host/", "s3://bucket/"
    assert permitted("https://host/a.jpg", *roots) and permitted("s3://bucket/a/b.jpg", *roots)
    assert not permitted("https://host2/a.jpg", *roots) and not permitted("s3://bucket2/a.jpg", *roots)


def test_nothing_outside_is_opened(data: Path) -> None:
    for uri in (f"{data}/data/out.jpg", "/etc/passwd.jpg", "http://localhost:1/a.jpg", "s3://bucket/a.jpg"):
        for attempt in (
            lambda uri=uri: next(open_source(uri, kind="image", roots=[f"{data}/data"])),
            lambda uri=uri: next(open_source(uri, kind="video", roots=[f"{data}/data"])),
            lambda uri=uri: index_video(uri, [f"{data}/data"]),
        ):
            with pytest.raises(UnreadableMediaError) as caught:
                attempt()
            assert str(caught.value) == f"{uri}: lies outside FER_MEDIA_ROOTS"


def test_nothing_outside_is_looked_for(data: Path) -> None:
    for name in (f"{data}/secret", f"{data}/secret/*.jpg", f"{data}/no.jpg", "s3://bucket/", "http://host/a.jpg"):
        (found,) = find_media([name], [f"{data}/data"])
        assert found.error == f"{name}: lies outside FER_MEDIA_ROOTS"
        assert found.uri == name
    everything = list(find_media([f"{data}/data", f"{data}/data/*"], [f"{data}/data"]))
    assert {os.path.relpath(each.uri, data / "data"): each.error is None for each in everything} == {
        "a.jpg": True,
        "in.jpg": True,
        "out.jpg": False,  # which `outside/d.jpg` is too
    }


def test_a_link_that_is_exchanged_after_the_check_opens_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link, real = data / "data/in.jpg", check_permitted

    def check_then_exchange(uri: str, roots: Sequence[str]) -> None:
        real(uri, roots)
        if uri == str(link):
            link.unlink()
            link.symlink_to(data / "secret/d.jpg")

    monkeypatch.setattr(opening, "check_permitted", check_then_exchange)
    with (
        pytest.raises(UnreadableMediaError, match=r"in\.jpg: lies outside FER_MEDIA_ROOTS"),
        opening.open_media(str(link), [f"{data}/data"]),
    ):
        pass


def test_what_is_no_regular_file_is_not_waited_for(data: Path) -> None:
    os.mkfifo(data / "data/pipe.jpg")
    (data / "data/zero.jpg").symlink_to("/dev/zero")
    for name, roots in (("pipe.jpg", [str(data)]), ("pipe.jpg", []), ("zero.jpg", [])):
        with (
            pytest.raises(UnreadableMediaError, match=rf"{name}: is not a regular file"),
            opening.open_media(f"{data}/data/{name}", roots),
        ):
            pass
