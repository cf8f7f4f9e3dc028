"""The command line, called as its users and their scripts call it."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.launching import Forked, launched

TIMEOUT_S = 280
ROOT = Path(__file__).resolve().parent.parent.parent
"""Of the repository."""


def fer_batch(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command line in a separate process, which starts in a moment (`tests.support.launcher`)."""
    if any(name.startswith(("PYTHON", "LANG", "LC_")) for name in environment):
        return fer_batch_anew(*words, **environment)
    return launched(words, {**os.environ, **environment}, TIMEOUT_S)


def fer_batch_anew(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As `fer_batch`, for tests of how the program starts: Python is started anew."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli", *words],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
    )


def succeed(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As `fer_batch`, and the test fails with its output if it fails."""
    run = fer_batch(*words, **environment)
    assert run.returncode == 0, run.stderr
    return run


def fer_batch_here(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As `fer_batch`, but in this process, for commands that need torch: importing it takes seconds each time."""
    from click.testing import CliRunner

    from cli.main import main

    run = CliRunner(env=environment).invoke(main, words, catch_exceptions=False)
    return subprocess.CompletedProcess(words, run.exit_code, run.stdout, run.stderr)


def succeed_here(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As `fer_batch_here`, and the test fails with its output if it fails."""
    run = fer_batch_here(*words, **environment)
    assert run.returncode == 0, run.stderr
    return run


def fer_batch_on_terminal(*words: str, **environment: str) -> tuple[int, str]:
    """As `fer_batch`, with stdout and stderr on one terminal of 200 columns; gives exit code and output."""
    reading, writing = pty.openpty()
    surroundings = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", **environment}
    with Forked(words, surroundings, (writing, writing, writing)) as process:
        os.close(writing)
        output = b""
        # Linux answers EIO when the last process has closed the terminal.
        with suppress(OSError):
            while piece := os.read(reading, 65536):
                output += piece
    os.close(reading)
    return process.returncode, output.decode(errors="surrogateescape")


def only_sentence(stderr: str) -> str:
    """The one line on stderr, without its `Error: `."""
    (line,) = stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")
