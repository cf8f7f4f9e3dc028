"""Every page without a mouse or without sight: names of controls, the keyboard, and a table for each chart."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page

from tests.support.pages import browsing, opened, serving_page
from tests.support.timeline_job import add_stream_hour, add_timeline
from web.pages.navigation import PAGES

CONTROLS = {
    "button", "checkbox", "combobox", "image", "link", "radio", "searchbox", "slider", "spinbutton", "switch", "tab",
    "textbox",
}  # fmt: skip
"""Roles that need a name (WAI-ARIA 1.2), as the browser computes it."""

TABLED = """() => [...document.querySelectorAll('[data-testid=stVegaLiteChart], .tl')].map(chart => {
  for (let part = chart; part; part = part.parentElement)
    for (let next = part.nextElementSibling; next; next = next.nextElementSibling)
      for (const found of next.querySelectorAll('[data-testid=stExpander]'))
        if (/table/i.test(found.innerText)) return true;
  return false;
})"""


@pytest.fixture(scope="module")
def site(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("web")
    url = f"sqlite:///{folder / 'results.db'}"
    job_id = add_timeline(url, Path(shutil.copy(samples / "clip.mp4", folder / "a clip.mp4")))
    add_stream_hour(url)
    given = {"FER_MEDIA_ROOTS": str(folder), "FER_UPLOADS_DIR": str(folder / "uploads")}
    with serving_page(folder / "web.log", url, **given) as address, browsing() as chromium:
        yield SimpleNamespace(address=address, chromium=chromium, job=job_id)


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, site: SimpleNamespace) -> Iterator[Page]:
    window = opened(site.chromium, f"{site.address}/{request.param}?job={site.job}")
    window.get_by_role("heading", name=PAGES[request.param][1], exact=True).wait_for()
    # Until nothing runs, and what is drawn late is there.
    window.wait_for_function("!document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')")
    yield window
    window.close()


def unnamed(page: Page) -> list[str]:
    """The roles and properties of controls without a name, of all frames and shadow trees."""
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"] and node["role"]["value"].lower() in CONTROLS]
    assert len(shown) > 5
    return [str(node) for node in shown if not node["name"].get("value", "").strip()]


def test_every_control_has_a_name_and_every_chart_its_table(page: Page) -> None:
    assert unnamed(page) == []
    assert all(page.evaluate(TABLED))


def test_the_keyboard_leads_from_the_bar_into_the_page(page: Page) -> None:
    places = []
    for _ in range(16):
        page.keyboard.press("Tab")
        places.append(page.evaluate("document.activeElement.closest('[data-testid=stMain]') ? 'page' : 'bar'"))
    assert places[0] == "bar" and "page" in places
