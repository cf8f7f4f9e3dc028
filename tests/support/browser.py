"""A real browser for the tests of pages."""

import html
import shutil
import subprocess
from pathlib import Path

import pytest

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--virtual-time-budget=20000",
)  # fmt: skip


def browser() -> str:
    """The path of Chromium; the test is skipped where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no chromium on the PATH")
    return found


def seen_in_browser(page: Path, folder: Path, script: str, width: int) -> tuple[str, str]:
    """The value of a script in a page that is `width` pixels wide, and the browser's console messages.

    `script` is an expression of JavaScript. The page is opened from its file, in a frame: Chromium's own windows are
    never as narrow as a phone.
    """
    report = f"<script>addEventListener('load', () => parent.postMessage(String({script}), '*'));</script>"
    (folder / "page.html").write_text(page.read_text().replace("</body>", f"{report}</body>"))
    (folder / "frame.html").write_text(
        "<script>addEventListener('message', (event) => { document.title = 'value ' + event.data; });</script>"
        f"<iframe src='page.html' style='border:0;width:{width}px;height:900px'></iframe>"
    )
    command = [browser(), *OPTIONS, f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--v=0"]
    frame = (folder / "frame.html").as_uri()
    run = subprocess.run([*command, "--dump-dom", frame], capture_output=True, text=True, timeout=120)
    title = run.stdout.partition("<title>")[2].partition("</title>")[0]
    assert title.startswith("value "), run.stderr
    complaints = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    return html.unescape(title.removeprefix("value ")), "\n".join(complaints)
