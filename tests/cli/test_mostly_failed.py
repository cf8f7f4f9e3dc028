"""A job that is done, but most of whose files failed."""

from pathlib import Path

import cv2

from tests.support.clips import noise_picture
from tests.support.commands import fer_batch, succeed
from tests.support.stack import Stack


def test_a_job_most_of_whose_files_failed_says_so_everywhere(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), noise_picture()[:48, :48])
    for number in (1, 2, 3):
        (folder / f"{number}.png").write_text("this is no picture")
    run = fer_batch("submit", str(folder), "--wait", **stack.environment)
    job = run.stdout.strip()
    assert run.returncode == 1 and "3 of 4 files failed." in run.stderr
    status = succeed("status", job, **stack.environment)
    assert "3 of 4 files failed" in status.stdout and " done" in status.stdout
    (row,) = [line for line in succeed("jobs", **stack.environment).stdout.splitlines() if job in line]
    assert row.endswith("3 of 4")
    succeed("report", job, "-o", str(tmp_path / "report.html"), **stack.environment)
    assert "3 of 4 files failed" in (tmp_path / "report.html").read_text()
