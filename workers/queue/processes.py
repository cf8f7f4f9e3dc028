"""Child processes that end with this program, each in a session of its own."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

STOP_S = 20.0
PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""


def spawn(
    command: Sequence[str], output: int, environment: Mapping[str, str] | None = None, pass_fds: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Starts a program that writes to the file descriptor `output`, with extra environment variables."""
    # A session of its own: Ctrl-C in the terminal reaches this program alone, which then stops the others in order.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
        preexec_fn=_end_with_parent,
        pass_fds=pass_fds,
    )


def stop(*processes: subprocess.Popen[bytes], seconds: float = STOP_S) -> None:
    """Sends SIGTERM to all, waits, then kills them with all their children."""
    try:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + seconds
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
    finally:
        # A second Ctrl-C comes here at once.
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _end_with_parent() -> None:
    """Has the kernel end a child if this program is killed and cannot do it itself; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
