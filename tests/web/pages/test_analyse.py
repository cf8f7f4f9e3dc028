"""The page Analyse in a real browser."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Browser, Page

from fer_model.networks.manifest import read_models
from fer_model.types import EMOTIONS
from tests.support.media import huge_png
from tests.support.pages import browsing, camera_flags, opened, serving_page
from tests.support.watching import until
from web.uploads import GRACE_S


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def url(prepared: None, uploads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("web")
    database = f"sqlite:///{folder / 'results.db'}"
    with serving_page(folder / "web.log", database, FER_UPLOADS_DIR=str(uploads)) as address:
        yield address


@pytest.fixture(scope="module")
def chromium(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(*camera_flags(samples, tmp_path_factory.mktemp("camera") / "camera.mjpeg")) as running:
        yield running


@pytest.fixture
def page(chromium: Browser, url: str) -> Iterator[Page]:
    window = opened(chromium, url)
    yield window
    window.close()


def give(page: Page, *paths: Path) -> None:
    page.locator("input[type=file]").set_input_files(list(paths))


def download(page: Page, label: str) -> bytes:
    with page.expect_download() as begun:
        page.get_by_role("button", name=label).click()
    return Path(begun.value.path()).read_bytes()


def test_a_picture_with_two_faces(page: Page, samples: Path) -> None:
    give(page, samples / "zidane.jpg")
    page.get_by_role("heading", name="Face 1: ").wait_for()
    page.get_by_role("heading", name="Face 2: ").wait_for()
    assert page.get_by_alt_text("zidane.jpg, 2 faces").count() == 1
    rows = page.locator(".fer-face").first.locator("tbody tr")
    assert rows.locator("th").all_inner_texts() == list(EMOTIONS)
    bars = rows.locator("td.bar span").evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().width)")
    shares = [float(text.removesuffix("%")) for text in rows.locator("td:nth-child(3)").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert np.argmax(bars) == np.argmax(shares) and max(bars) > 20
    # Each network's own prediction, with its weight.
    models = read_models()
    head = page.locator(".fer-face").first.locator("thead").inner_text()
    for member, share in zip(models.members, models.shares, strict=True):
        assert member.name in head and f"weight {share:.2f}" in head

    found = json.loads(download(page, "All faces as JSON"))[0]
    assert (found["picture"], found["width"], found["height"], len(found["faces"])) == ("zidane.jpg", 1280, 720, 2)
    mean = sum(each["weight"] * each["probabilities"]["happy"] for each in found["faces"][0]["members"])
    assert mean == pytest.approx(found["faces"][0]["probabilities"]["happy"], abs=0.1)
    rows_of_csv = list(csv.DictReader(io.StringIO(download(page, "All faces as CSV").decode())))
    assert [row["emotion"] for row in rows_of_csv] == [face["emotion"] for face in found["faces"]]
    drawn = cv2.imdecode(np.frombuffer(download(page, "Annotated PNG"), np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None and drawn.shape == (720, 1280, 3)
    original = cv2.imread(str(samples / "zidane.jpg"))
    assert 0 < (drawn != original).any(axis=2).mean() < 0.2


def test_the_threshold_takes_faces_away_without_a_second_pass(page: Page, samples: Path) -> None:
    give(page, samples / "zidane.jpg")
    page.get_by_role("heading", name="Face 2: ").wait_for()
    slider = page.get_by_role("slider", name="Detection threshold")
    slider.focus()
    slider.press("End")
    page.get_by_text("No face scores 0.90 or more. Lower the threshold").wait_for()
    assert page.get_by_role("heading", name="Face 1: ").count() == 0
    slider.press("Home")
    page.get_by_role("heading", name="Face 2: ").wait_for()


def test_each_file_that_is_no_picture_has_a_sentence_and_the_others_are_shown(
    page: Page, samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "lying.jpg").write_text("this is no picture")
    (tmp_path / "broken.jpg").write_bytes((samples / "zidane.jpg").read_bytes()[:20_000])
    (tmp_path / "clip.jpg").write_bytes((samples / "clip.mp4").read_bytes())
    (tmp_path / "empty.jpg").touch()
    huge = huge_png(tmp_path / "huge.png", 10_000)
    Pillow.new("RGB", (300, 200), "white").save(tmp_path / "white.png")
    png = tmp_path / "named.jpg"
    Pillow.open(samples / "zidane.jpg").save(png, format="PNG")
    names = ("lying.jpg", "broken.jpg", "clip.jpg", "empty.jpg", "white.png")
    give(page, *(tmp_path / name for name in names), huge, png)
    page.get_by_role("heading", name="Face 2: ").wait_for()
    for sentence in (
        "lying.jpg: is not a picture (unknown format).",
        "broken.jpg: is truncated.",
        "clip.jpg: is not a picture (unknown format).",
        "empty.jpg: the file is empty.",
        "huge.png: has 10,000 x 10,000 pixels; more than 50,000,000 are not decoded. Larger ones can be submitted",
        "No face scores 0.40 or more.",
    ):
        page.get_by_text(sentence).wait_for()
    assert page.get_by_text("Traceback").count() == 0


def test_nothing_uploaded_outlives_the_visit(chromium: Browser, url: str, uploads: Path, samples: Path) -> None:
    def pictures() -> list[Path]:
        return [path for path in uploads.rglob("kept-*") if path.is_file()]

    page = opened(chromium, url)
    named = uploads.parent / "kept-no-longer.jpg"
    named.write_bytes((samples / "zidane.jpg").read_bytes())
    give(page, named)
    page.get_by_role("heading", name="Face 2: ").wait_for()
    assert [path.stat().st_mode & 0o777 for path in pictures()] == [0o600]
    page.close()
    until(lambda: not pictures(), seconds=GRACE_S + 60)


def test_a_name_is_shown_as_it_is(page: Page, samples: Path, tmp_path: Path) -> None:
    name = "a*b*c $x$ y$z$ R&amp;D.jpg"
    (tmp_path / name).write_bytes((samples / "zidane.jpg").read_bytes())
    (tmp_path / "no *picture* &amp;.jpg").write_text("this is no picture")
    give(page, tmp_path / name, tmp_path / "no *picture* &amp;.jpg")
    page.get_by_role("heading", name=name, exact=True).wait_for()
    page.get_by_text("no *picture* &amp;.jpg: is not a picture").wait_for()


def test_a_picture_is_pasted(page: Page, samples: Path) -> None:
    page.locator("input[type=file]").wait_for(state="attached")
    page.evaluate(
        """async bytes => {
            const file = new File([new Uint8Array(bytes)], "pasted.jpg", { type: "image/jpeg" });
            const data = new DataTransfer();
            data.items.add(file);
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        list((samples / "zidane.jpg").read_bytes()),
    )
    page.get_by_role("heading", name="Face 2: ").wait_for()


def test_a_photograph_of_the_camera(page: Page) -> None:
    page.get_by_text("Camera", exact=True).click()
    page.get_by_role("button", name="Take Photo").wait_for()
    # Before the camera's first frame the button takes none.
    page.wait_for_function("document.querySelector('video')?.readyState >= 3")
    page.get_by_role("button", name="Take Photo").click()
    page.get_by_role("heading", name="Face 2: ").wait_for()
    page.get_by_alt_text("camera.jpg, 2 faces").wait_for()
