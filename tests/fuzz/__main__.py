"""Reads damaged media and answers, in a process of its own: `python -m tests.fuzz --minutes 10`.

A case is a number; `--start N --cases 1` runs it again. Ends with 1 if anything was found.
"""

import argparse
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 60.0
"""How long one case may take."""

MOST_BYTES = 2 * 2**30
"""What a process may hold after any number of cases."""


@dataclass
class Found:
    """What was found, by the number of its case."""

    cases: int = 0
    findings: dict[int, str] = field(default_factory=dict)


def main() -> int:
    """Runs for the given time, or the given cases. Prints each finding when it is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10**9)
    chosen = parser.parse_args()
    found, until = Found(), time.monotonic() + 60 * chosen.minutes
    number = chosen.start
    while time.monotonic() < until and found.cases < chosen.cases:
        number = run(number, until, chosen.start + chosen.cases, found) + 1
    print(f"{found.cases:,} cases, {len(found.findings)} findings")
    return 1 if found.findings else 0


def run(start: int, until: float, end: int, found: Found) -> int:
    """Runs a child until the time is over or it dies; gives the number of its last case."""
    child = subprocess.Popen([sys.executable, "-m", "tests.fuzz.child", str(start)], stdout=subprocess.PIPE, text=True)
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(child, lines), daemon=True).start()
    number = start - 1
    try:
        while time.monotonic() < until or number < start:
            try:
                line = lines.get(timeout=PATIENCE_S)
            except queue.Empty:
                return _note(found, number, f"takes longer than {PATIENCE_S:g} s")
            if line is None and number < start:
                raise RuntimeError("no case could be begun")
            if line is None:
                return _note(found, number, f"ends the process with {child.wait()}")
            if line.startswith("!"):
                _note(found, number, line[1:].replace("\\n", "\n"))
                continue
            if int(line) >= end:
                return number
            number, found.cases = int(line), found.cases + 1
            if (size := _memory(child.pid)) > MOST_BYTES:
                return _note(found, number, f"has taken {size:,} bytes (or the case before it)")
    finally:
        child.kill()
        child.wait()
    return number


def _read(child: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line.rstrip("\n"))
    lines.put(None)


def _note(found: Found, number: int, finding: str) -> int:
    found.findings[number] = finding
    print(f"case {number}: {finding}", flush=True)
    return number


def _memory(pid: int) -> int:
    try:
        with Path(f"/proc/{pid}/status").open() as status:
            return next((1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
