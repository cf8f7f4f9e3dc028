import subprocess
import sys
from pathlib import Path


def test_damaged_media_and_answers_are_read_or_fail_in_one_sentence() -> None:
    """Less than a minute, and always the same cases; `python -m tests.fuzz --minutes N` runs more."""
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--minutes", "0.6", "--cases", "400"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
