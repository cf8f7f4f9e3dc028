"""The page Timeline of streams, in a browser: times of day, an hour that grows, a stream that is removed."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import requests
from playwright.sync_api import Page, expect
from sqlalchemy import insert, select

from results.database import connect, prepare, writing
from results.jobs import delete_job
from results.tables import Frame, Media, Shard
from tests.support.pages import WAIT_MS, browsing, opened, serving_page
from tests.support.rows import frame
from tests.support.timeline_job import STREAM_MS, add_stream_hour

END_MS = STREAM_MS + 2000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("web")
    prepare(url := f"sqlite:///{folder / 'results.db'}")
    database = connect(url)
    uploads = {"FER_UPLOADS_DIR": str(folder / "uploads")}
    with serving_page(folder / "web.log", url, **uploads) as address, browsing() as chromium:
        yield SimpleNamespace(address=address, chromium=chromium, url=url, database=database)
    database.dispose()


def timeline(site: SimpleNamespace, job_id: str) -> Page:
    """The timeline of a stream's hour, with the focus in the chart."""
    page = opened(site.chromium, f"{site.address}/timeline?job={job_id}")
    page.locator(".plot").focus()
    return page


def at(page: Page, ms: int) -> None:
    expect(page.locator(".tl")).to_have_attribute("data-ms", str(ms), timeout=WAIT_MS)


def saved(page: Page, button: str) -> tuple[str, str]:
    """The name and the text of a download."""
    with page.expect_download(timeout=WAIT_MS) as download:
        page.get_by_role("button", name=button, exact=True).click()
    return download.value.suggested_filename, download.value.path().read_text()


def test_a_stream_has_a_chart_in_utc_and_no_picture(site: SimpleNamespace) -> None:
    page = timeline(site, add_stream_hour(site.url))
    expect(page.locator(".clock")).to_have_text("14:20:00.000 UTC", timeout=WAIT_MS)
    expect(page.locator(".notice")).to_contain_text("Nothing of a stream is kept but its figures")
    expect(page.locator(".now li").nth(5)).to_contain_text("100%")
    expect(page.locator(".zoom")).to_be_disabled()
    expect(page.get_by_role("heading", name="14:20:00 to 14:20:02, all faces")).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press(" ")
    expect(page.locator(".play")).to_have_text("Play", timeout=WAIT_MS)
    expect(page.locator(".clock")).to_have_text("14:20:02.000 UTC", timeout=WAIT_MS)
    page.close()


def test_markers_pictures_and_names_of_files_have_the_time_of_day(site: SimpleNamespace) -> None:
    page = timeline(site, add_stream_hour(site.url, "hall"))
    at(page, STREAM_MS)
    page.keyboard.press("m")
    expect(page.locator(".where")).to_have_text("14:20:00.000")
    page.get_by_label("Label of the marker").fill("waves")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Markers")).to_be_visible(timeout=WAIT_MS)
    name, text = saved(page, "Download as CSV")
    assert name == "2026-03-01T14Z-hall-markers.csv" and "waves,,2026-03-01T14:20:00.000+00:00," in text
    name, text = saved(page, "SVG")
    assert name == "2026-03-01T14Z-hall-timeline.svg"
    assert "<!-- 14:20:00 -->" in text and "<!-- hall, 01 Mar 2026, 14:00 UTC -->" in text
    link = page.get_by_role("link", name="ELAN").get_attribute("href")
    assert "''2026-03-01T14Z-hall.eaf" in requests.get(f"{site.address}{link}").headers["Content-Disposition"]
    page.close()


def test_the_hour_after_midnight_plays_from_its_first_frame(site: SimpleNamespace) -> None:
    page = timeline(site, add_stream_hour(site.url, "night", hour=0))
    expect(page.locator(".clock")).to_have_text("0:20:00.000 UTC", timeout=WAIT_MS)
    page.keyboard.press("End")
    at(page, END_MS)
    watch = (
        "part => { window.clocks = []; const note = () => window.clocks.push(part.textContent);"
        " new MutationObserver(note).observe(part, { childList: true }); }"
    )
    page.locator(".clock").evaluate(watch)
    page.keyboard.press(" ")
    page.wait_for_function("window.clocks.length > 1")
    expect(page.locator(".play")).to_have_text("Play", timeout=WAIT_MS)
    assert page.evaluate("window.clocks.every(clock => clock.startsWith('0:20:0'))")
    at(page, END_MS)
    page.keyboard.press("Shift+ArrowLeft")
    at(page, STREAM_MS)
    page.close()


def test_the_cursor_reaches_what_was_recorded_since(site: SimpleNamespace) -> None:
    job_id = add_stream_hour(site.url, "lobby")
    page = timeline(site, job_id)
    at(page, STREAM_MS)
    with writing(site.database) as session:
        media_id = session.scalars(select(Media.id).where(Media.job_id == job_id)).one()
        shard_id = session.scalars(select(Shard.id).where(Shard.job_id == job_id)).one()
        session.execute(insert(Frame), frame(media_id, 20, END_MS + 900, 0) | {"shard_id": shard_id})
    expect(page.get_by_role("heading", name="14:20:00 to 14:20:03")).to_be_visible(timeout=WAIT_MS)
    page.locator(".plot").focus()
    page.keyboard.press("End")
    at(page, int(page.locator(".plot").get_attribute("aria-valuemax") or 0))
    expect(page.locator(".clock")).to_contain_text("14:20:03.")
    page.close()


def test_a_stream_that_is_removed_meanwhile_is_said_to_be_deleted(site: SimpleNamespace) -> None:
    job_id = add_stream_hour(site.url, "gone")
    page = timeline(site, job_id)
    at(page, STREAM_MS)
    page.keyboard.press("m")
    with writing(site.database) as session:
        assert delete_job(session, job_id)
    expect(page.get_by_test_id("stAlert")).to_have_text("The job was deleted.", timeout=WAIT_MS)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    page.get_by_label("Label of the marker").fill("too late")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The marker was not kept: the job was deleted.")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    page.close()
