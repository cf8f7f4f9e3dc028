"""Asks a launcher (`tests.support.launcher`) for processes of the command line."""

import atexit
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
    (out, stdout), (err, stderr) = os.pipe(), os.pipe()
    process = Forked(words, environment, (0, stdout, stderr))
    for number in (stdout, stderr):
        os.close(number)
    with ThreadPoolExecutor(2) as readers:
        texts = [readers.submit(_read, number) for number in (out, err)]
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(words, status, *(text.result() for text in texts))


def _read(number: int) -> str:
    with open(number) as lines:
        return lines.read()


def started(words: Sequence[str], environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Runs the command line in a session of its own, its output in `log`, and does not wait for it.

    `environment` is added to the tests' own. It ends with the tests' process.
    """
    given = {**os.environ, **environment}
    with log.open("ab") as output, Path(os.devnull).open() as nothing:
        return Forked(words, given, (nothing.fileno(), output.fileno(), output.fileno()), session=True)


class Forked(subprocess.Popen[bytes]):
    """A process of the command line that a launcher has forked: not this process's child, but used as if it were."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], streams: Sequence[int], session: bool = False
    ) -> None:
        self._child_created = False
        self.args, self.returncode = list(words), None
        self.stdin = self.stdout = self.stderr = None
        self._answers, theirs = socket.socketpair()
        request = {"words": self.args, "environment": dict(environment), "folder": os.getcwd(), "session": session}
        with theirs:
            socket.send_fds(
                _launcher(_needs_torch(list(words))), [json.dumps(request).encode()], [*streams, theirs.fileno()]
            )
        self.pid = self._number()

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = os.waitstatus_to_exitcode(self._number())
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._answers.close()
        return self.returncode

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def _number(self) -> int:
        if not (answer := self._answers.recv(4)):
            raise RuntimeError("the launcher of commands has ended")
        return int(struct.unpack("i", answer)[0])


def _needs_torch(words: Sequence[str]) -> bool:
    """Whether a command imports torch, which takes longer than the rest of it. Others must do without it."""
    return (
        words[:1] == ["evaluate"]
        or words[:2] in (["ensemble", "fit"], ["models", "add"], ["models", "pull"])
        or "--local" in words
    )


@cache
def _launcher(has_torch: bool) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", launcher.__file__, str(theirs.fileno()), *(launcher.LEARNING if has_torch else ())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_end, ours, process)
    return ours


def _end(requests: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    requests.close()
    process.wait()
