"""Has each process of a worker's pool die at its start, as a missing library would, where PYTHONPATH holds this folder."""

import os
import signal
import sys

if "--billiard-fork" in sys.orig_argv and "spawn_main" in " ".join(sys.orig_argv):
    with open(os.environ["FER_TEST_BIRTHS"], "a") as births:
        print(os.getpid(), file=births)
    if os.environ.get("FER_TEST_DEATH") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    print("ImportError: libGL.so.1: cannot open shared object file", file=sys.stderr, flush=True)
    os._exit(1)
