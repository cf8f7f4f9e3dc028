"""Asks a launcher (`tests.support.launcher`) for processes of the command line."""

import atexit
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from tests.support import launcher


def launched(
    words: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` of the command line, with its output captured.

    Raises:
        subprocess.TimeoutExpired: it took longer and was killed.
    """
    ours, answer = socket.socketpair()
    (out, stdout), (err, stderr) = os.pipe(), os.pipe()
    request = {"words": words, "environment": dict(environment), "folder": os.getcwd()}
    socket.send_fds(_launcher(), [json.dumps(request).encode()], [0, stdout, stderr, answer.fileno()])
    for number in (stdout, stderr, answer.detach()):
        os.close(number)
    with ours, ThreadPoolExecutor(2) as readers:
        texts = [readers.submit(_read, number) for number in (out, err)]
        status = _wait(ours, words, timeout_s)
    return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(status), *(text.result() for text in texts))


def _read(number: int) -> str:
    with open(number) as lines:
        return lines.read()


def _wait(answers: socket.socket, words: Sequence[str], timeout_s: float) -> int:
    """The exit status, as `waitpid` gives it."""
    pid: int = struct.unpack("i", answers.recv(4))[0]
    answers.settimeout(timeout_s)
    try:
        return int(struct.unpack("i", answers.recv(4))[0])
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise subprocess.TimeoutExpired(list(words), timeout_s) from None


@cache
def _launcher() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", str(Path(launcher.__file__)), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_end, ours, process)
    return ours


def _end(requests: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    requests.close()
    process.wait()
