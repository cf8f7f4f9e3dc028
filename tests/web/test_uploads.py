"""What becomes of uploads, and that they take no memory."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.pages import resident, serving_page
from tests.support.watching import until
from web.errors import WebError
from web.uploads import Uploads, plain_name


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("clip.mp4", "clip.mp4"), ("../../etc/passwd", "passwd"), ("C:\\videos\\a.mp4", "a.mp4"), ("..", "upload"),
        (".hidden", "hidden"), ("", "upload"), ("a\nb\x00.mp4", "ab.mp4"),
        ("日本.mp4", "日本.mp4"), ("no suffix", "no suffix"),
    ],
)  # fmt: skip
def test_names(given: str, plain: str) -> None:
    assert plain_name(given) == plain


def test_long_names_are_cut_and_keep_their_suffix() -> None:
    name = plain_name("ä" * 300 + ".mp4")
    assert len(name.encode()) <= 200 and name.endswith("ä.mp4")


def test_a_visit_ends_with_its_files_unless_they_were_kept_or_the_visitor_returns(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    token, returning = uploads.begin(), uploads.begin()
    for each in (token, returning):
        uploads.new(each, "a.mp4").write_text("film")
    submitted = uploads.new(token, "b.mp4")
    submitted.write_text("submitted")
    assert uploads.find(token, submitted.parent.name) == submitted
    assert uploads.find(returning, submitted.parent.name) is None
    kept = uploads.keep(submitted)
    uploads.end(token, grace_s=0.05)
    uploads.end(returning, grace_s=0.05)
    uploads.hold(returning)
    until(lambda: len(list(tmp_path.rglob("a.mp4"))) == 1)
    assert kept.read_text() == "submitted"
    with pytest.raises(WebError, match="The visit has ended"):
        uploads.new(token, "c.mp4")
    uploads.close()
    assert list(tmp_path.rglob("*.mp4")) == [kept]


def test_what_could_not_be_submitted_is_the_visit_s_again(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    path = uploads.new(token := uploads.begin(), "a.mp4")
    path.write_text("film")
    kept = uploads.keep(path)
    assert uploads.find(token, path.parent.name) is None
    uploads.give_back(kept, path)
    assert uploads.find(token, path.parent.name) == path and path.read_text() == "film"
    assert not kept.parent.exists()
    uploads.keep(path)
    uploads.close()


def test_the_visits_of_a_killed_server_are_deleted_and_those_of_a_live_one_are_not(tmp_path: Path) -> None:
    live = Uploads(tmp_path)
    path = live.new(live.begin(), "a.mp4")
    path.touch()
    dead = tmp_path / "visits-dead"
    (dead / "lock").parent.mkdir()
    (dead / "lock").touch()
    (dead / "b.mp4").touch()
    Uploads(tmp_path).close()
    assert path.exists() and not dead.exists()
    live.close()


@pytest.mark.parametrize("token", ["..", "0" * 32, "", "../../x"])
def test_a_token_that_was_not_given_opens_nothing(tmp_path: Path, token: str) -> None:
    uploads = Uploads(tmp_path)
    with pytest.raises(WebError, match="The visit has ended"):
        uploads.new(token, "a.mp4")
    assert uploads.find(token, "0" * 16) is None
    uploads.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("web") / "web.log"
    database = f"sqlite:///{log.parent / 'results.db'}"
    # A device that is not there: networks that are loaded meanwhile would count as memory of the upload.
    with serving_page(log, database, FER_UPLOADS_DIR=str(folder), FER_DEVICE="cuda:63") as address:
        yield address


def new_visit(folder: Path) -> str:
    """A folder as the page makes it for a visitor."""
    (visits,) = folder.glob("visits-*")
    token = os.urandom(16).hex()
    (visits / token).mkdir()
    return token


def test_a_large_upload_takes_no_memory(url: str, folder: Path) -> None:
    seen: list[int] = []

    def body() -> Iterator[bytes]:
        for _ in range(300):
            seen.append(resident(url))
            yield bytes(2**20)

    warm = requests.put(f"{url}/fer/uploads/{new_visit(folder)}/small.mp4", bytes(2**22))
    assert warm.json()["bytes"] == 2**22
    before = resident(url)
    answer = requests.put(f"{url}/fer/uploads/{new_visit(folder)}/large.mp4", body())
    assert (answer.status_code, answer.json()["name"], answer.json()["bytes"]) == (200, "large.mp4", 300 * 2**20)
    assert max(seen) - before < 50e6


def test_an_upload_that_breaks_off_leaves_nothing(url: str, folder: Path) -> None:
    def body() -> Iterator[bytes]:
        yield bytes(2**21)
        raise ConnectionAbortedError

    with pytest.raises((requests.RequestException, ConnectionAbortedError)):
        requests.put(f"{url}/fer/uploads/{new_visit(folder)}/broken.mp4", body())
    until(lambda: not list(folder.rglob("broken.mp4")))


def test_without_a_visit_nothing_is_taken(url: str) -> None:
    answer = requests.put(f"{url}/fer/uploads/{'0' * 32}/a.mp4", b"film")
    assert answer.status_code == 507 and "reload the page" in answer.json()["error"]
    assert requests.post(f"{url}/fer/frames/{'0' * 32}", b"frame").status_code == 404
    assert requests.put(f"{url}/fer/uploads/..%2f..%2fx/a.mp4", b"film").status_code in (400, 404, 405, 507)
