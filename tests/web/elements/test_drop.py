"""The place for files in a real browser: what is taken away while it waits, and what a long absence loses."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from tests.support.pages import WAIT_MS, browsing, opened, serving_page
from web.uploads import GRACE_S

FIRST, SECOND = "a*b*c $x$ y$z$.jpg", "R&amp;D.jpg"


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def url(uploads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("web")
    given = {"FER_UPLOADS_DIR": str(uploads), "FER_DEVICE": "cuda:63"}
    with serving_page(folder / "web.log", f"sqlite:///{folder / 'results.db'}", **given) as address:
        yield f"{address}/jobs"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsing() as running:
        yield running


@pytest.fixture
def page(chromium: Browser, url: str) -> Iterator[Page]:
    window = opened(chromium, "about:blank")
    yield window
    window.close()


def give(page: Page, folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"picture")
    page.locator("input[type=file]").set_input_files([folder / name for name in names])


def test_a_file_that_waits_for_its_turn_can_be_taken_away(page: Page, url: str, tmp_path: Path) -> None:
    sent: list[str] = []
    held: list[Route] = []

    def slowly(route: Route) -> None:
        sent.append(route.request.url.rpartition("/")[2])
        if len(sent) == 1:
            held.append(route)
        else:
            route.continue_()

    page.route("**/fer/uploads/**", slowly)
    page.goto(url)
    page.get_by_text("Upload", exact=True).click()
    give(page, tmp_path, "one.jpg", "two.jpg", "three.jpg")
    page.get_by_role("button", name="Remove two.jpg").click()
    expect(page.locator(".drop li .name")).to_have_text(["one.jpg", "three.jpg"])
    held[0].continue_()
    expect(page.locator(".drop li progress")).to_have_count(0, timeout=WAIT_MS)
    assert sent == ["one.jpg", "three.jpg"]
    expect(page.get_by_role("button", name="Submit", exact=True)).to_be_enabled(timeout=WAIT_MS)


def test_after_a_long_absence_lost_files_say_so_and_others_are_taken(
    page: Page, url: str, uploads: Path, tmp_path: Path
) -> None:
    connections: list[WebSocketRoute] = []
    is_down = False

    def connect(mine: WebSocketRoute) -> None:
        if is_down:
            mine.close()
        else:
            mine.connect_to_server()
            connections.append(mine)

    page.route_web_socket("**/_stcore/stream", connect)
    page.goto(url)
    page.get_by_text("Upload", exact=True).click()
    give(page, tmp_path, FIRST)
    submit = page.get_by_role("button", name="Submit", exact=True)
    expect(submit).to_be_enabled(timeout=WAIT_MS)
    is_down = True
    connections[-1].close()
    # Not `sleep`: the route has to be answered meanwhile.
    for _ in range(2 * (int(GRACE_S) + 60)):
        page.wait_for_timeout(500)
        if not list(uploads.rglob(FIRST)):
            break
    assert not list(uploads.rglob(FIRST))
    is_down = False
    lost = page.locator(".drop li").filter(has_text=FIRST)
    expect(lost).to_contain_text("No longer on the server; add it again.", timeout=2 * WAIT_MS)
    expect(submit).to_be_disabled(timeout=WAIT_MS)
    give(page, tmp_path, SECOND)
    expect(submit).to_be_enabled(timeout=WAIT_MS)
    expect(page.locator(".drop li.failed .name")).to_have_text([FIRST])
