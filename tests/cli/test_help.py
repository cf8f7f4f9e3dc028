"""The command line before it does anything."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, main
from results.database import upgrade
from tests.support.commands import fer_batch

HEAVY = ("torch", "openvino", "cv2", "celery", "sqlalchemy", "ultralytics", "numpy", "pydantic", "rich")


def test_help_imports_nothing_heavy() -> None:
    program = f"""
import sys
from cli.main import main
try:
    main(["--help"], prog_name="fer-batch")
finally:
    print("HEAVY:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "Usage: fer-batch" in run.stdout
    assert run.stdout.strip().endswith("HEAVY: []")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_imports_no_network_library(command: str) -> None:
    program = f"""
import sys
from cli.main import main
try:
    main([{command!r}, "--help"], prog_name="fer-batch")
finally:
    print("HEAVY:", [name for name in ("torch", "openvino", "cv2", "celery") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"Usage: fer-batch {command}" in run.stdout
    assert run.stdout.strip().endswith("HEAVY: []")


@pytest.mark.parametrize("words", [("jobs",), ("models", "list")])
def test_reading_the_database_imports_neither_torch_nor_alembic(words: tuple[str, ...], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    upgrade(url)
    program = f"""
import sys
from cli.main import main
try:
    main([*{words!r}, "--db", {url!r}])
finally:
    print("HEAVY:", [name for name in ("torch", "alembic", "scipy") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip().endswith("HEAVY: []")


def test_the_main_process_of_a_worker_imports_nothing_that_shards_alone_need() -> None:
    program = """
import sys
import workers.tasks, workers.watchdog
print([name for name in ("torch", "openvino", "scipy", "av", "trackers") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of the command and of those below it."""
    yield path
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from commands(below, (*path, name))


def test_help_fits_a_terminal_of_80_columns_and_no_summary_is_cut() -> None:
    for words in commands(main):
        lines = CliRunner().invoke(main, [*words, "--help"]).output.splitlines()
        assert max(map(len, lines)) <= 80, words
        cut = [line for line in lines if line.endswith("...") and not line.startswith("Usage")]
        assert not cut, (words, cut)


def test_no_color_is_obeyed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    coloured, plain = (
        fer_batch("doctor", "--db", url, FORCE_COLOR="1", **given).stdout for given in ({}, {"NO_COLOR": "1"})
    )
    assert "\x1b[32m" in coloured and "\x1b[31m" in coloured
    assert "\x1b[32m" not in plain and "\x1b[31m" not in plain and "✓" in plain


def test_wrong_use_exits_with_2() -> None:
    wrong = (
        ["--every", "0"],
        ["--fps", "nan"],
        ["--fps", "inf"],
        ["--shard-seconds", "1e9"],
        ["--detection-threshold", "nan"],
    )
    calls = [["submit", "x", *words] for words in wrong]
    for words in (["submit"], ["nonsense"], ["timeline", "--bucket", "soon"], *calls):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 2, words


def test_fps_and_every_exclude_each_other() -> None:
    result = CliRunner().invoke(main, ["run", "x", "--fps", "2", "--every", "2"])
    assert result.exit_code == 2 and "exclude each other" in result.output


def test_nearest_needs_fps() -> None:
    result = CliRunner().invoke(main, ["run", "x", "--every", "2", "--nearest"])
    assert result.exit_code == 2 and "--nearest needs --fps." in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_the_commands(shell: str) -> None:
    words = {"COMP_WORDS": "fer-batch tim", "COMP_CWORD": "tim" if shell == "fish" else "1"}
    run = fer_batch(**{"_FER_BATCH_COMPLETE": f"{shell}_complete"}, **words)
    assert "timeline" in run.stdout


def test_a_wrong_setting_is_named() -> None:
    run = fer_batch("jobs", FER_DETECTION_THRESHOLD="high")
    assert run.returncode == 1
    assert run.stderr.startswith("Error: The setting FER_DETECTION_THRESHOLD is wrong")
    assert "Traceback" not in run.stderr


def test_debug_shows_the_traceback() -> None:
    run = fer_batch("--debug", "jobs", FER_DATABASE_URL="mysql://nowhere")
    assert run.returncode == 1 and "Traceback" in run.stderr
    assert "Traceback" not in fer_batch("jobs", FER_DATABASE_URL="mysql://nowhere").stderr


def test_the_group_lists_what_it_has() -> None:
    with click.Context(main) as context:
        assert all(main.get_command(context, name) for name in main.list_commands(context))
