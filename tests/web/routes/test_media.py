"""Byte ranges of media, and which files are served at all."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from results.database import connect, prepare, writing
from results.jobs import create_job
from results.plans import MediaPlan, ShardPlan, add_plan
from tests.support.pages import serving_page
from web.routes.media import byte_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", (0, 99)), ("bytes=0-9", (0, 9)), ("bytes=90-", (90, 99)), ("bytes=-5", (95, 99)), ("bytes=-500", (0, 99)),
        ("bytes=5-500", (5, 99)), ("bytes=0-1, 5-6", (0, 1)), ("bytes=100-", None), ("bytes=9-3", None),
        ("bytes=-0", None), ("bytes=-", (0, 99)), ("seconds=1-2", (0, 99)), ("bytes=x-2", (0, 99)),
    ],
)  # fmt: skip
def test_ranges(header: str, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 100) == expected


@pytest.fixture(scope="module")
def files(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A clip below the roots, one that is replaced after planning, one outside, a link to it, and one that is gone."""
    inside, outside = tmp_path_factory.mktemp("roots"), tmp_path_factory.mktemp("outside")
    found = {name: inside / f"{name}.mp4" for name in ("clip", "replaced", "link", "gone")}
    found["outside"] = outside / "secret.mp4"
    for name in ("clip", "replaced", "outside"):
        shutil.copy(samples / "clip.mp4", found[name])
    found["link"].symlink_to(found["outside"])
    return found


@pytest.fixture(scope="module")
def page(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("web")
    url = f"sqlite:///{folder / 'results.db'}"
    prepare(url)
    database = connect(url)
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={})
        plans = [MediaPlan(str(path), "video", size=1 if name == "replaced" else None) for name, path in files.items()]
        add_plan(session, job.id, plans, [ShardPlan(0, len(plans) - 1, len(plans))])
    database.dispose()
    with serving_page(folder / "web.log", url, FER_MEDIA_ROOTS=str(files["clip"].parent)) as address:
        yield address


def test_a_medium_is_served_whole_and_in_ranges(page: str, files: dict[str, Path]) -> None:
    whole, url = files["clip"].read_bytes(), f"{page}/fer/media/1"
    answer = requests.get(url)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "video/mp4")
    assert answer.content == whole and answer.headers["Accept-Ranges"] == "bytes"
    part = requests.get(url, headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(whole)}"
    assert requests.get(url, headers={"Range": "bytes=-7"}).content == whole[-7:]
    beyond = requests.get(url, headers={"Range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("outside", "lies outside FER_MEDIA_ROOTS"),
        ("link", "lies outside FER_MEDIA_ROOTS"),
        ("gone", "does not exist"),
        ("replaced", "has changed since it was submitted"),
    ],
)
def test_only_media_below_the_roots_are_served(page: str, files: dict[str, Path], name: str, reason: str) -> None:
    answer = requests.get(f"{page}/fer/media/{list(files).index(name) + 1}")
    assert answer.status_code == 404 and reason in answer.text


@pytest.mark.parametrize("number", ["999", "9" * 30, "0", "-1", "1%2f2", "%2e%2e"])
def test_only_media_of_the_database_are_served(page: str, number: str) -> None:
    answer = requests.get(f"{page}/fer/media/{number}")
    assert answer.status_code == 404 or "video" not in answer.headers.get("Content-Type", "")
