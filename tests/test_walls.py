"""The rooms import one way."""

import subprocess
import sys
from pathlib import Path


def test_the_walls_between_the_rooms_stand() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    root = Path(__file__).resolve().parent.parent
    run = subprocess.run(
        [str(tool), "--config", str(root / "pyproject.toml")], cwd=root, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout
    assert "Contracts: 3 kept, 0 broken." in run.stdout
