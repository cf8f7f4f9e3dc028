"""The page Timeline in a browser: the video, the chart and the figures below share one cursor."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from playwright.sync_api import Page, expect

from results.database import connect, reading
from results.markers import markers_of
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.pages import WAIT_MS, browsing, opened, serving_page
from tests.support.timeline_job import (
    CHANGE_MS,
    GAP_MS,
    STEP_MS,
    add_timeline,
    add_unfinished,
    finish_shard,
)

GUTTER = 44
"""The labels left of the chart, in CSS pixels."""

LENGTH_MS = 8000


@pytest.fixture(scope="module")
def site(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("web")
    url = f"sqlite:///{folder / 'results.db'}"
    clip = Path(shutil.copy(samples / "clip.mp4", folder / "a clip.mp4"))
    job_id = add_timeline(url, clip)
    with serving_page(folder / "web.log", url, FER_MEDIA_ROOTS=str(folder)) as address, browsing() as chromium:
        yield SimpleNamespace(address=address, chromium=chromium, job=job_id, database=url, clip=clip, folder=folder)


@pytest.fixture(scope="module")
def page(site: SimpleNamespace) -> Page:
    page = opened(site.chromium, f"{site.address}/timeline?job={site.job}&medium=1")
    sent: list[int] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda _: sent.append(1)))
    page.sent = sent  # type: ignore[attr-defined]
    page.reload()
    page.locator(".plot").wait_for()
    until_ready(page)
    return page


def until_ready(page: Page) -> None:
    page.wait_for_function(f"({VIDEO}).readyState >= 2", timeout=WAIT_MS)


VIDEO = "[...document.querySelectorAll('*')].map(e => e.shadowRoot?.querySelector('video')).find(Boolean)"
"""An expression for the video, which lies in the shadow tree of its element."""


def cursor(page: Page) -> int:
    return int(page.locator(".tl").get_attribute("data-ms") or -1)


def waits_at(page: Page, ms: int, tolerance: int = 2) -> None:
    """Until the cursor and the video are both there."""
    page.wait_for_function(
        f"Math.abs(({VIDEO}).currentTime * 1000 - {ms}) <= {tolerance} && !({VIDEO}).seeking", timeout=WAIT_MS
    )
    expect(page.locator(".tl")).to_have_attribute("data-ms", str(ms), timeout=WAIT_MS)


def place(page: Page, ms: float) -> tuple[float, float]:
    """Where a moment is in the window."""
    box = page.locator(".plot").bounding_box()
    assert box is not None
    return box["x"] + GUTTER + ms / LENGTH_MS * (box["width"] - GUTTER), box["y"] + 80


def painted(page: Page, left: int, top: int, width: int, height: int) -> bool:
    """Whether there is a box in a part of the video, in its pixels."""
    found = page.locator(".boxes").evaluate(
        """(canvas, [x, y, w, h]) => { const s = canvas.width / 640;
        return canvas.getContext('2d').getImageData(x * s, y * s, w * s, h * s).data.some(v => v > 0) }""",
        [left, top, width, height],
    )
    return bool(found)


def test_a_click_in_the_chart_moves_the_video_to_that_millisecond(page: Page) -> None:
    page.mouse.click(*place(page, 2500))
    page.wait_for_function(f"Math.abs(({VIDEO}).currentTime - 2.5) < 0.02 && !({VIDEO}).seeking", timeout=WAIT_MS)
    seconds = page.evaluate(f"({VIDEO}).currentTime")
    assert cursor(page) == round(1000 * seconds) and seconds % 1 != 0
    expect(page.locator(".now li").nth(3)).to_contain_text("happy")
    expect(page.locator(".now .state")).to_contain_text("faces")


def test_times_count_from_the_first_picture_where_the_file_begins_before_it(
    site: SimpleNamespace, tmp_path: Path
) -> None:
    """As where the sound begins two seconds earlier."""
    late = write_clip(tmp_path / "late.mp4", panning_frames(noise_picture(960, 480), 200, (640, 360)), start=2000)
    job_id = add_timeline(url := f"sqlite:///{tmp_path / 'results.db'}", late)
    with serving_page(tmp_path / "web.log", url, FER_MEDIA_ROOTS=str(tmp_path)) as address:
        page = opened(site.chromium, f"{address}/timeline?job={job_id}&medium=1")
        page.locator(".plot").wait_for()
        until_ready(page)
        page.mouse.click(*place(page, 2500))
        page.wait_for_function(f"Math.abs(({VIDEO}).currentTime - 4.5) < 0.02 && !({VIDEO}).seeking", timeout=WAIT_MS)
        assert abs(cursor(page) - 2500) < 20
        page.locator(".plot").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"Math.abs(({VIDEO}).currentTime - 4.54) < 0.02 && !({VIDEO}).seeking", timeout=WAIT_MS)
        page.close()


def test_keys_step_a_frame_and_five_seconds(page: Page) -> None:
    page.locator(".plot").focus()
    page.keyboard.press("Home")
    waits_at(page, 0)
    page.keyboard.press("ArrowRight")
    waits_at(page, STEP_MS)
    page.keyboard.press("Shift+ArrowRight")
    waits_at(page, STEP_MS + 5000)
    page.keyboard.press("ArrowLeft")
    waits_at(page, 5000)
    expect(page.locator(".plot")).to_have_attribute("aria-valuenow", "5000")


def test_boxes_follow_the_cursor_and_end_with_the_face(page: Page) -> None:
    page.locator(".plot").focus()
    page.keyboard.press("Home")
    waits_at(page, 0)
    assert until_painted(page, True) and not painted(page, 395, 5, 70, 70)
    page.mouse.click(*place(page, 3000))
    page.wait_for_function(f"Math.abs(({VIDEO}).currentTime - 3) < 0.02", timeout=WAIT_MS)
    assert painted(page, 395, 5, 70, 70)
    page.mouse.click(*place(page, 6500))
    page.wait_for_function(f"Math.abs(({VIDEO}).currentTime - 6.5) < 0.02", timeout=WAIT_MS)
    assert until_painted(page, False)
    expect(page.locator(".now .state")).to_have_text("no face")


def until_painted(page: Page, wanted: bool, part: tuple[int, int, int, int] = (95, 55, 110, 140)) -> bool:
    for _ in range(100):
        if painted(page, *part) == wanted:
            return True
        page.wait_for_timeout(100)
    return False


@pytest.mark.parametrize(("kind", "ms"), [("change", CHANGE_MS), ("gap", GAP_MS)])
def test_jumps_to_the_next_change_and_gap(page: Page, kind: str, ms: int) -> None:
    page.locator(".plot").focus()
    page.keyboard.press("Home")
    waits_at(page, 0)
    page.locator(".kind").select_option(kind)
    page.get_by_role("button", name="Next").click()
    waits_at(page, ms)


def test_playing_moves_the_cursor_without_running_the_script(page: Page) -> None:
    page.locator(".plot").focus()
    page.keyboard.press("Home")
    waits_at(page, 0)
    page.wait_for_timeout(500)
    before = len(page.sent)  # type: ignore[attr-defined]
    page.keyboard.press(" ")
    page.wait_for_function(f"({VIDEO}).currentTime > 0.8", timeout=WAIT_MS)
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press(" ")
    page.wait_for_function(f"({VIDEO}).paused", timeout=WAIT_MS)
    assert cursor(page) > 700 and len(page.sent) == before  # type: ignore[attr-defined]


def test_a_brushed_span_gives_its_figures_and_escape_clears_it(page: Page) -> None:
    page.mouse.move(*place(page, 4000))
    page.mouse.down()
    page.mouse.move(*place(page, 5000), steps=4)
    page.mouse.move(*place(page, 6000), steps=4)
    page.mouse.up()
    heading = page.get_by_role("heading", name="all faces")
    expect(heading).to_contain_text("to 0:00:0", timeout=WAIT_MS)
    expect(heading).not_to_contain_text("0:00:00 to", timeout=WAIT_MS)
    faces = page.get_by_test_id("stMetric").filter(has_text="Faces").first
    # Two people in each of 50 frames; the ends are as exact as a pixel.
    expect(faces).to_contain_text("100", timeout=WAIT_MS)
    page.locator(".zoom").click()
    expect(page.locator(".zoom")).to_have_text("Zoom out", timeout=WAIT_MS)
    page.locator(".zoom").click()
    expect(page.locator(".zoom")).to_have_text("Zoom in", timeout=WAIT_MS)
    page.locator(".plot").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="0:00:00 to 0:00:08")).to_be_visible(timeout=WAIT_MS)


def test_brackets_set_the_ends_of_a_span(page: Page) -> None:
    page.locator(".plot").focus()
    page.keyboard.press("Home")
    waits_at(page, 0)
    page.keyboard.press("]")
    expect(page.locator(".zoom")).to_be_disabled()
    page.keyboard.press("ArrowRight")
    waits_at(page, STEP_MS)
    page.keyboard.press("[")
    expect(page.get_by_role("heading", name="0:00:00.040 to 0:00:08")).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("Shift+ArrowRight")
    waits_at(page, STEP_MS + 5000)
    # As a keyboard with brackets behind AltGr sends it.
    page.keyboard.press("Control+Alt+]")
    expect(page.get_by_role("heading", name="0:00:00.040 to 0:00:05.040")).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("[")
    expect(page.get_by_role("heading", name="0:00:05.040 to 0:00:08")).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="0:00:00 to 0:00:08")).to_be_visible(timeout=WAIT_MS)


def test_valence_and_arousal_have_lines_and_are_called_a_projection(page: Page) -> None:
    expect(page.get_by_test_id("stVegaLiteChart").locator("svg, canvas").first).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("A projection of the seven probabilities")).to_contain_text("not a measurement")


def test_the_figures_of_a_span_are_not_cut_off_on_a_telephone(site: SimpleNamespace) -> None:
    narrow = opened(site.chromium, f"{site.address}/timeline?job={site.job}&medium=1", width=390)
    grid = narrow.locator(".dvn-scroller").first
    grid.wait_for()
    assert grid.evaluate("grid => grid.scrollWidth - grid.clientWidth") == 0
    narrow.close()


def test_a_marker_is_kept_listed_exported_and_deleted(page: Page, site: SimpleNamespace) -> None:
    page.locator(".plot").focus()
    page.keyboard.press("Home")
    waits_at(page, 0)
    page.keyboard.press("Shift+ArrowRight")
    waits_at(page, 5000)
    page.keyboard.press("m")
    page.get_by_label("Label of the marker").fill("looks away m n p")
    page.get_by_label("Note of the marker").fill("to the left")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Markers")).to_be_visible(timeout=WAIT_MS)
    assert cursor(page) == 5000
    written = requests.get(f"{site.address}/fer/export/1/eaf")
    assert "looks away m n p: to the left" in written.text and "a%20clip.eaf" in written.headers["Content-Disposition"]
    database = connect(site.database)
    with reading(database) as session:
        (marker,) = markers_of(session, 1)
        assert (marker.time_ms, marker.until_ms, marker.note) == (5000, None, "to the left")
    delete = page.get_by_role("button", name="Delete selected")
    expect(delete).to_be_disabled()
    # The table is a canvas: its first row's box lies below the names of the columns.
    page.get_by_test_id("stDataFrame").first.click(position={"x": 16, "y": 52})
    expect(delete).to_be_enabled(timeout=WAIT_MS)
    delete.click()
    expect(page.get_by_role("heading", name="Markers")).to_have_count(0, timeout=WAIT_MS)
    with reading(database) as session:
        assert markers_of(session, 1) == []
    database.dispose()


@pytest.mark.parametrize(
    "path", ["boxes/1", "boxes/1?since=0&until=60001", "boxes/1?since=5&until=5", "boxes/1?since=a&until=9"]
)
def test_boxes_are_given_for_a_minute_at_most(site: SimpleNamespace, path: str) -> None:
    assert requests.get(f"{site.address}/fer/{path}").status_code == 400


@pytest.mark.parametrize(
    "path", ["export/9/csv", "export/1/xlsb", f"export/{'9' * 30}/csv", f"boxes/{'9' * 30}?since=0&until=9"]
)
def test_other_numbers_and_formats_are_not_found(site: SimpleNamespace, path: str) -> None:
    assert requests.get(f"{site.address}/fer/{path}").status_code == 404


def test_every_face_of_the_file_is_a_download(site: SimpleNamespace) -> None:
    lines = requests.get(f"{site.address}/fer/export/1/csv").text.splitlines()
    assert len(lines) == 1 + 275
    assert requests.get(f"{site.address}/fer/export/1/parquet").content.startswith(b"PAR1")
    grid = requests.get(f"{site.address}/fer/export/1/textgrid")
    assert grid.text.startswith("File type") and "a%20clip.TextGrid" in grid.headers["Content-Disposition"]


def test_the_timeline_of_an_unfinished_job_grows_by_itself(site: SimpleNamespace) -> None:
    job_id = add_unfinished(site.database, site.clip)
    page = opened(site.chromium, f"{site.address}/timeline?job={job_id}")
    page.locator(".plot").wait_for()
    faces = page.get_by_test_id("stMetric").filter(has_text="Faces").first
    expect(faces).to_contain_text("25", timeout=WAIT_MS)
    page.locator(".plot").focus()
    page.keyboard.press("End")
    waits_at(page, 2000)
    assert not painted(page, 0, 0, 8, 8)
    finish_shard(site.database, job_id, 1)
    expect(faces).to_contain_text("50", timeout=WAIT_MS)
    waits_at(page, 2000)
    assert until_painted(page, True, (0, 0, 8, 8)), "its boxes are there too"
    page.close()
