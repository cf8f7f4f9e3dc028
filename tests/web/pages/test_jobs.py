"""The page Jobs with a real queue and worker: submit, follow to the end, see the timeline; cancel and retry."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Locator, Page, expect

from results.database import connect, writing
from results.jobs import create_job
from results.plans import MediaPlan, ShardPlan, add_plan
from tests.support.databases import query
from tests.support.pages import WAIT_MS, browsing, opened, serving_page
from tests.support.stack import Stack

END_MS = 240_000
"""Longer than a job of eight seconds takes on a busy machine."""

on_sqlite = pytest.mark.parametrize("stack", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def site(stack: Stack, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("web")
    media = folder / "media"
    media.mkdir()
    shutil.copy(samples / "clip.mp4", media / "talk.mp4")
    shutil.copy(samples / "zidane.jpg", folder / "outside.jpg")
    # The worker reads anywhere; the page lets visitors submit what is below its roots alone.
    limits = {"FER_MEDIA_ROOTS": f"{media},{folder / 'uploads'}", "FER_UPLOADS_DIR": str(folder / "uploads")}
    surroundings = stack.environment | limits
    with serving_page(folder / "web.log", stack.database_url, **surroundings) as address, browsing() as chromium:
        yield SimpleNamespace(address=address, chromium=chromium, folder=folder, media=media, stack=stack)


@pytest.fixture
def page(site: SimpleNamespace) -> Iterator[Page]:
    page = opened(site.chromium, f"{site.address}/jobs")
    page.get_by_role("heading", name="Submitted").wait_for()
    yield page
    page.close()


def submit(page: Page, name: str) -> None:
    page.get_by_label("Name of the job").fill(name)
    page.get_by_label("Frames per second", exact=True).fill("2")
    page.get_by_label("Frames per second", exact=True).press("Tab")
    button = page.get_by_role("button", name="Submit", exact=True)
    expect(button).to_be_enabled(timeout=WAIT_MS)
    button.click()


def card(page: Page, name: str) -> Locator:
    """The part of the list about a job."""
    return page.locator("[class*=st-key-job-]").filter(has_text=name)


@on_sqlite
def test_a_submitted_folder_is_done_and_its_timeline_shows(page: Page, site: SimpleNamespace) -> None:
    path = page.get_by_label("Folder, file or pattern on the server")
    path.fill(str(site.folder / "outside.jpg"))
    path.press("Tab")
    submit(page, "elsewhere")
    expect(page.get_by_role("alert")).to_contain_text("lies outside FER_MEDIA_ROOTS", timeout=WAIT_MS)
    path.fill(str(site.media))
    path.press("Tab")
    page.get_by_text("Quick", exact=True).click()
    submit(page, "a talk")
    expect(page.get_by_text("has 1 file.")).to_be_visible(timeout=WAIT_MS)
    expect(card(page, "a talk")).to_contain_text("done", timeout=END_MS)
    assert card(page, "elsewhere").count() == 0
    ((options,),) = query(site.stack.database_url, "SELECT options FROM jobs WHERE name = 'a talk'")
    assert (json.loads(options)["detect_every"], json.loads(options)["fps"]) == ("auto", 2.0)
    card(page, "a talk").get_by_role("link", name="Timeline").click()
    page.locator(".plot").wait_for()
    expect(page.locator(".now .state")).to_contain_text("face", timeout=WAIT_MS)
    expect(page.get_by_role("heading", name="0:00:00 to 0:00:08, all faces")).to_be_visible(timeout=WAIT_MS)


@on_sqlite
def test_an_uploaded_video_outlives_the_visit_as_a_job(page: Page, site: SimpleNamespace, samples: Path) -> None:
    page.get_by_text("Upload", exact=True).click()
    page.locator(".drop input[type=file]").set_input_files(samples / "zidane.jpg")
    expect(page.locator(".drop li")).to_contain_text("zidane.jpg", timeout=WAIT_MS)
    submit(page, "my upload")
    expect(card(page, "my upload")).to_contain_text("2 faces", timeout=END_MS)
    ((uri,),) = query(
        site.stack.database_url, "SELECT uri FROM media JOIN jobs ON jobs.id = job_id WHERE name = 'my upload'"
    )
    assert (
        uri.startswith(str(site.folder / "uploads" / "submitted"))
        and Path(uri).read_bytes() == (samples / "zidane.jpg").read_bytes()
    )
    expect(page.locator(".drop li")).to_have_count(0)


@on_sqlite
def test_a_job_is_cancelled_and_retried(page: Page, site: SimpleNamespace) -> None:
    database = connect(site.stack.database_url)
    torn = MediaPlan("/srv/torn.mp4", "video", state="failed", error="/srv/torn.mp4: is not a video")
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name="waits _for_ R&amp;D", options={}, queue="nobody")
        add_plan(
            session, job.id, [MediaPlan("/srv/a.mp4", "video"), torn], [ShardPlan(0, 0, 9, video=True, start_ms=0)]
        )
    database.dispose()
    waiting = card(page, "waits _for_ R&amp;D")
    expect(waiting).to_contain_text("queued", timeout=WAIT_MS)
    expect(waiting).to_contain_text("1 of 2 files failed")
    waiting.get_by_role("button", name="Cancel").click()
    expect(waiting).to_contain_text("cancelled", timeout=WAIT_MS)
    waiting.get_by_role("button", name="Retry").click()
    expect(waiting.get_by_role("button", name="Cancel")).to_be_enabled(timeout=WAIT_MS)
    assert query(site.stack.database_url, "SELECT state FROM shards WHERE job_id = :job", job=job.id)[0] == ("pending",)
