"""Kills or hangs a process that opens certain files, by their names, if its PYTHONPATH holds this folder.

The program does not know of it: Python imports this module at its start and calls its audit hook for every file that
is opened.
"""

import os
import resource
import signal
import sys
import time
from pathlib import Path


def poison(event: str, arguments: tuple[object, ...]) -> None:
    name = os.fsdecode(arguments[0]) if event == "open" and isinstance(arguments[0], (str, bytes)) else ""
    if name.endswith("-kills.jpg"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.endswith("-hangs.jpg"):
        time.sleep(3600)
    if name.endswith("-swells.jpg"):
        now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (now + 10_000_000, before[1]))
        try:
            bytearray(100_000_000)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


sys.addaudithook(poison)
