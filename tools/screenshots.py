"""Pictures of every page and of the report, light and dark, as wide as a desk and as a telephone.

    python -m tools.screenshots FOLDER

The database is that of `make demo`, or the one given by --db. The pages get a photograph and a fake camera, so that
they are as a visitor has them.
"""

import io
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from PIL import Image
from playwright.sync_api import Browser, Page
from sqlalchemy import select

from fer_model.samples import write_samples
from results.database import connect, reading, upgrade, writing
from results.tables import Job
from tests.support.commands import succeed
from tests.support.live_rows import live_stream
from tests.support.pages import browsing, camera_flags, opened, serving_page
from tests.support.rows import silence

WIDTHS = {"desk": 1280, "phone": 390}
THEMES = ("light", "dark")
SETTLED_MS, TALLEST, FOR_DOCS = 3000, 2600, 1040
SQLITE = "sqlite:///"
REPORT = "report"


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--db", default="sqlite:///demo/fer-batch.db", help="The database that the pages show.")
@click.option("--page", "chosen", multiple=True, help="Only this page; may be given several times.")
@click.option("--for-docs", is_flag=True, help="Only as docs/how-to/web shows them: PAGE.png, light, the upper part.")
def main(folder: Path, db: str, chosen: tuple[str, ...], for_docs: bool) -> None:
    """Writes PAGE-THEME-WIDTH.png into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        _take_all(folder, Path(scratch), db, chosen, for_docs)


def _take_all(folder: Path, scratch: Path, db: str, chosen: tuple[str, ...], for_docs: bool) -> None:
    samples = scratch / "samples"
    write_samples(samples)
    flags = camera_flags(samples, samples / "camera.mjpeg")
    uploads = {"FER_UPLOADS_DIR": str(scratch / "uploads")}
    job, take = _newest_batch(db), _take_for_docs if for_docs else _take
    with serving_page(scratch / "web.log", _shown(db, scratch), **uploads) as url, browsing(*flags) as chromium:
        for name, (path, ready) in PAGES.items():
            if name in (chosen or PAGES):
                take(chromium, f"{url}/{path}".format(job=job), folder / name, partial(_made_ready, ready, samples))
        if REPORT in (chosen or (REPORT,)):
            succeed("report", job, "--db", db, "-o", str(scratch / "report.html"))
            take(chromium, (scratch / "report.html").as_uri(), folder / REPORT, _high_enough)


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


def _high_enough(page: Page) -> None:
    assert page.viewport_size
    page.set_viewport_size({"width": page.viewport_size["width"], "height": TALLEST})
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


def _take_for_docs(chromium: Browser, url: str, base: Path, ready: Callable[[Page], None]) -> None:
    """One picture of few colours, which take a third of the room."""
    page = opened(chromium, url, width=WIDTHS["desk"], theme="light")
    ready(page)
    whole = Image.open(io.BytesIO(page.screenshot()))
    upper = whole.crop((0, 0, whole.width, min(whole.height, FOR_DOCS)))
    # Small bars keep their colours beside a photograph.
    few = upper.quantize(256, Image.Quantize.FASTOCTREE, kmeans=4, dither=Image.Dither.NONE)
    few.save(base.with_suffix(".png"), optimize=True)
    page.close()
    print(base.with_suffix(".png"), flush=True)


def _analyse(page: Page, samples: Path) -> None:
    page.locator("input[type=file]").set_input_files(samples / "zidane.jpg")
    page.get_by_role("heading", name="Face 2: ").wait_for()


def _live(page: Page, samples: Path) -> None:
    page.get_by_text("JPEG", exact=True).click()
    page.get_by_role("button", name="Start").click()
    page.locator(".fer-strip td b").first.wait_for()


def _jobs(page: Page, samples: Path) -> None:
    page.get_by_role("heading", name="Submitted").wait_for()


def _timeline(page: Page, samples: Path) -> None:
    page.locator(".plot").wait_for()
    page.get_by_role("heading", name="all faces").wait_for()


def _streams(page: Page, samples: Path) -> None:
    page.get_by_role("heading", name="Events").wait_for()


def _models(page: Page, samples: Path) -> None:
    page.get_by_text("sha256.").wait_for()


def _newest_batch(db: str) -> str:
    database = connect(db)
    with reading(database) as session:
        job = session.scalars(select(Job.id).where(Job.kind == "batch").order_by(Job.created_at.desc()).limit(1)).one()
    database.dispose()
    return job


def _shown(db: str, folder: Path) -> str:
    """A copy of an SQLite database with a live stream beside its jobs, which no camera has to be there for."""
    if not db.startswith(SQLITE):
        return db
    copy = folder / "shown.db"
    with sqlite3.connect(db.removeprefix(SQLITE)) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    upgrade(f"{SQLITE}{copy}")
    with writing(database := connect(f"{SQLITE}{copy}")) as session:
        claim = live_stream(session, "lobby", seconds=280)
        # Its lease lasts an hour.
        silence(session, claim.id, seconds=-3600)
    database.dispose()
    return f"{SQLITE}{copy}"


PAGES: dict[str, tuple[str, Callable[[Page, Path], None]]] = {
    "analyse": ("", _analyse),
    "live": ("live", _live),
    "jobs": ("jobs", _jobs),
    "timeline": ("timeline?job={job}", _timeline),
    "streams": ("streams", _streams),
    "models": ("models", _models),
}
"""By name: the path, and what is done before the picture is taken."""

if __name__ == "__main__":
    main()
