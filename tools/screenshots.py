"""Pictures of every page, light and dark, as wide as a desk and as a telephone: `python -m tools.screenshots FOLDER`.

The database is that of `make demo`, or the one given by --db. The pages get a photograph and a fake camera, so that
they are as a visitor has them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import cv2
import numpy as np
from playwright.sync_api import Browser, Page

from fer_model.samples import write_samples
from tests.support.pages import browsing, opened, serving_page

WIDTHS = {"desk": 1280, "phone": 390}
THEMES = ("light", "dark")
SETTLED_MS, TALLEST = 3000, 2600


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--db", default="sqlite:///demo/fer-batch.db", help="The database that the pages show.")
@click.option("--page", "chosen", multiple=True, help="Only this page; may be given several times.")
def main(folder: Path, db: str, chosen: tuple[str, ...]) -> None:
    """Writes PAGE-THEME-WIDTH.png into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = folder / "samples"
    write_samples(samples)
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    camera = f"--use-file-for-fake-video-capture={_camera(samples)}"
    uploads = {"FER_UPLOADS_DIR": str(folder / "uploads")}
    with serving_page(folder / "web.log", db, **uploads) as url, browsing(*flags, camera) as chromium:
        for name, (path, ready) in PAGES.items():
            if name in (chosen or PAGES):
                _take(chromium, f"{url}/{path}", folder / name, partial(_made_ready, ready, samples))


def _made_ready(ready: Callable[[Page, Path], None], samples: Path, page: Page) -> None:
    page.locator("h1").first.wait_for()
    ready(page, samples)
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_timeout(SETTLED_MS)
    # Streamlit scrolls within the page, which therefore is never higher than the window.
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    assert page.viewport_size
    page.set_viewport_size({"width": page.viewport_size["width"], "height": min(max(height, 700), TALLEST)})
    page.wait_for_timeout(SETTLED_MS / 2)


def _take(chromium: Browser, url: str, base: Path, ready: Callable[[Page], None]) -> None:
    for theme in THEMES:
        for width, pixels in WIDTHS.items():
            page = opened(chromium, url, width=pixels, theme=theme)
            ready(page)
            picture = base.with_name(f"{base.name}-{theme}-{width}.png")
            page.screenshot(path=picture)
            page.close()
            print(picture, flush=True)


def _analyse(page: Page, samples: Path) -> None:
    page.locator("input[type=file]").set_input_files(samples / "zidane.jpg")
    page.get_by_role("heading", name="Face 2: ").wait_for()


def _live(page: Page, samples: Path) -> None:
    page.get_by_text("JPEG", exact=True).click()
    page.get_by_role("button", name="Start").click()
    page.locator(".fer-strip td b").first.wait_for()


def _as_it_is(page: Page, samples: Path) -> None:
    """Nothing has to be done on the page."""


def _camera(samples: Path) -> Path:
    clip = samples / "camera.mjpeg"
    picture = np.asarray(cv2.imread(str(samples / "zidane.jpg")))
    frames = [cv2.resize(picture[:, 300 + shift : 1260 + shift], (640, 480)) for shift in range(0, 20, 2)]
    clip.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    return clip


PAGES: dict[str, tuple[str, Callable[[Page, Path], None]]] = {
    "analyse": ("", _analyse),
    "live": ("live", _live),
    "jobs": ("jobs", _as_it_is),
    "timeline": ("timeline", _as_it_is),
    "streams": ("streams", _as_it_is),
    "models": ("models", _as_it_is),
}
"""By name: the path, and what is done before the picture is taken."""

if __name__ == "__main__":
    main()
