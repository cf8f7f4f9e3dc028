"""Choosing a job and a file on the page Timeline, in a browser."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import insert, select, update

from results.database import connect, prepare, writing
from results.hours import begin_of, hour_of
from results.jobs import utc_now
from results.plans import MediaPlan
from results.read.choosing import MOST
from results.streams import StreamOptions, add_stream
from results.tables import Job, Media
from tests.support.pages import WAIT_MS, browsing, opened, serving_page
from tests.support.rows import new_job

NEW_YEAR = hour_of(datetime(2026, 1, 1, tzinfo=UTC))
PATHS = ["/srv/a/clip.mp4", "/srv/b/clip.mp4", "/srv/b/clip.mp4", "/srv/b/talk.mp4"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("web")
    prepare(url := f"sqlite:///{folder / 'results.db'}")
    database = connect(url)
    with writing(database) as session:
        many = new_job(session, [MediaPlan(f"/srv/file{n:04}.jpg", "image") for n in range(MOST + 1)], [])
        twins = [new_job(session, [MediaPlan(path, "video") for path in PATHS], []) for _ in "ab"]
        session.execute(update(Job).values(created_at=utc_now(session), state="done"))
        last = session.scalars(select(Media.id).where(Media.job_id == many).order_by(Media.position.desc())).first()
        stream = add_stream(session, "lobby", "rtsp://camera/lobby", None, StreamOptions()).id
        for position in range(NEW_YEAR, NEW_YEAR + MOST + 1):
            hour = {"kind": "stream", "uri": "rtsp://camera/lobby", "started_at": begin_of(position)}
            session.execute(insert(Media).values(job_id=stream, position=position, state="done", **hour))
    database.dispose()
    uploads = {"FER_UPLOADS_DIR": str(folder / "uploads")}
    with serving_page(folder / "web.log", url, **uploads) as address, browsing() as chromium:
        yield SimpleNamespace(
            timeline=f"{address}/timeline", chromium=chromium, twins=twins, many=many, last=last, stream=stream
        )


def in_address(page: Page, **words: object) -> None:
    """Until the page's address has these words."""
    for name, value in words.items():
        page.wait_for_function(
            f"new URL(location).searchParams.get('{name}') === '{value}'", timeout=WAIT_MS, polling=100
        )


def test_files_and_jobs_of_equal_names_can_be_chosen(site: SimpleNamespace) -> None:
    first, second = site.twins
    page = opened(site.chromium, f"{site.timeline}?job={first}")
    page.get_by_text("No frame of this file").wait_for()
    page.get_by_role("combobox", name="File").click()
    names = ["clip.mp4 · a", "clip.mp4 · b · 00001", "clip.mp4 · b · 00002", "talk.mp4"]
    expect(page.get_by_role("option")).to_have_text(names, timeout=WAIT_MS)
    page.get_by_role("option", name=names[2]).click()
    in_address(page, job=first, medium=MOST + 1 + 3)
    page.get_by_role("combobox", name="Job").click()
    page.get_by_role("option", name=f"· {second[-4:]}").click()
    in_address(page, job=second)
    page.close()


def test_a_link_to_a_file_that_is_not_listed_opens_it(site: SimpleNamespace) -> None:
    page = opened(site.chromium, f"{site.timeline}?job={site.many}&medium={site.last}")
    page.get_by_text("No frame of this file").wait_for()
    in_address(page, medium=site.last)
    page.get_by_role("combobox", name=f"File (the first {MOST} are listed)").wait_for()
    page.get_by_label("Find a file").fill("*nothing* like it")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No file's name contains *nothing* like it.")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("could be read")).to_have_count(0)
    page.close()


def test_every_hour_of_a_stream_can_be_found(site: SimpleNamespace) -> None:
    page = opened(site.chromium, f"{site.timeline}?job={site.stream}")
    page.get_by_text("No frame of this file").wait_for()
    oldest = MOST + 1 + 2 * len(PATHS) + 1
    in_address(page, medium=oldest + MOST)
    page.get_by_label("Find a file").fill("01 jan 2026, 00:")
    page.keyboard.press("Enter")
    in_address(page, medium=oldest)
    page.close()


def test_a_link_to_a_file_of_another_job_opens_the_first(site: SimpleNamespace) -> None:
    page = opened(site.chromium, f"{site.timeline}?job={site.many}&medium={site.last + 1}")
    page.get_by_text("No frame of this file").wait_for()
    in_address(page, medium=1)
    page.close()
