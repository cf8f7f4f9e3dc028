"""Has each process of a pool die at its start, as for want of a library, where PYTHONPATH holds this folder."""

import os
import signal
import sys
from pathlib import Path

if "--billiard-fork" in sys.orig_argv and "spawn_main" in " ".join(sys.orig_argv):
    with Path(os.environ["FER_TEST_BIRTHS"]).open("a") as births:
        print(os.getpid(), file=births)
    if os.environ.get("FER_TEST_DEATH") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    print("ImportError: libGL.so.1: cannot open shared object file", file=sys.stderr, flush=True)
    os._exit(1)
