import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_model.sources.discover import Found, PassedOver, find_media


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("10.jpg", "2.JPG", "notes.txt", ".hidden.jpg", "a/clip.MP4", "a/b/x.png", ".git/y.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def names(found: list[Found], root: Path) -> list[str]:
    assert all(each.error is None for each in found)
    return [str(Path(each.uri).relative_to(root)) for each in found]


def only_error(*paths: str) -> str:
    (found,) = find_media(paths)
    assert found.error is not None
    return found.error


def test_folder_is_walked_in_natural_order(tree: Path) -> None:
    found = list(find_media([str(tree)]))
    assert names(found, tree) == ["2.JPG", "10.jpg", "a/b/x.png", "a/clip.MP4"]
    assert [each.kind for each in found] == ["image", "image", "image", "video"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["10.jpg"]),
        ("**/*.png", ["a/b/x.png"]),
        ("*", ["2.JPG", "10.jpg", "a/b/x.png", "a/clip.MP4"]),
        ("**", ["2.JPG", "10.jpg", "a/b/x.png", "a/clip.MP4"]),
    ],
)
def test_globs(tree: Path, pattern: str, expected: list[str]) -> None:
    assert names(list(find_media([f"{tree}/{pattern}"])), tree) == expected


def test_brackets_in_a_real_name_are_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "take[1].jpg").write_bytes(b"x")
    assert names(list(find_media([f"{tmp_path}/take[1].jpg"])), tmp_path) == ["take[1].jpg"]


def test_uris_home_and_relative_paths(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tree))
    monkeypatch.chdir(tree / "a")
    (tree / "a b.jpg").write_bytes(b"x")
    found = list(find_media([f"file://{tree}/a%20b.jpg", "~/2.JPG", "../10.jpg"]))
    assert names(found, tree) == ["a b.jpg", "2.JPG", "10.jpg"]


def test_a_file_reached_twice_is_listed_once(tree: Path) -> None:
    (tree / "loop").symlink_to(tree)
    (tree / "a/same.jpg").symlink_to(tree / "10.jpg")
    found = list(find_media([str(tree / "10.jpg"), str(tree), f"{tree}/**/*.png", str(tree)]))
    assert names(found, tree) == ["10.jpg", "2.JPG", "a/b/x.png", "a/clip.MP4"]


def test_each_complaint_names_its_subject(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, complaint in {
        "no.jpg": "does not exist",
        "empty": "contains no picture or video",
        "empty.png": "the file is empty",
        "*.webp": "matches no picture or video",
        "notes.txt": "is neither a picture nor a video by its name",
        "gone.jpg": "cannot be opened (No such file or directory)",
        "pipe.jpg": "is not a regular file",
    }.items():
        assert only_error(f"{tmp_path}/{name}") == f"{tmp_path}/{name}: {complaint}"


def test_an_empty_path_is_not_the_current_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a variable of the shell that is not set."""
    monkeypatch.chdir(tree)
    assert only_error("") == "'': an empty path names no file"


@pytest.mark.parametrize("uri", ["rtsp://camera/1", "ftp://host/a.mp4", "S3://bucket/a.jpg"])
def test_other_schemes_are_refused(uri: str) -> None:
    assert only_error(uri) == f"{uri}: only s3://, http:// and https:// can be read from elsewhere"


def test_a_file_on_another_host_is_refused() -> None:
    assert only_error("file://host/a.jpg") == "file://host/a.jpg: a file on another host cannot be read"


@pytest.mark.parametrize("uri", ["http://[::1/a.jpg", "https://a\u2100b/a.jpg", "s3://b[/a.jpg", "file://[/a.jpg"])
def test_what_is_no_uri_is_refused_alone(uri: str, tree: Path) -> None:
    found = list(find_media([uri, str(tree)]))
    assert found[0].error == f"{uri}: names no valid host" and len(found) > 1


def test_the_search_is_lazy(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").touch()
    found = find_media([str(tmp_path / "a"), str(tmp_path / "b")])
    assert next(found).uri == str(tmp_path / "a" / "1.jpg")
    (tmp_path / "b" / "2.jpg").touch()
    assert [each.uri for each in found] == [str(tmp_path / "b" / f"{n}.jpg") for n in (1, 2)]


def test_a_name_that_is_not_utf_8_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "good.jpg").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.jpg")).write_bytes(b"x")
    bad, good = find_media([str(tmp_path)])
    assert good.error is None and good.uri.endswith("good.jpg")
    assert bad.error is not None and "not valid UTF-8" in bad.error
    assert (bad.uri + bad.error).encode()


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    names = ("a.jpg", "1.pdf", "2.PDF", "x.txt", "Makefile", ".hidden.jpg", "._a.jpg", "b/@eaDir/a.jpg", "b/c.pdf")
    for name in (*names, ".git/y.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    passed_over = PassedOver()
    assert names_of(find_media([str(tmp_path)], (), passed_over)) == ["a.jpg"]
    assert passed_over.sentence() == (
        "5 files of other kinds: 3 .pdf, 1 .txt, 1 without an ending; 2 hidden; "
        "2 of the file system's own (@eaDir, ._*)"
    )
    assert PassedOver().sentence() is None


def names_of(found: Iterator[Found]) -> list[str]:
    return [Path(each.uri).name for each in found]
