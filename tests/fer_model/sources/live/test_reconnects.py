"""A thousand reconnections: nothing piles up."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from fer_model.sources.live.capture import Capture
from fer_model.sources.live.connection import abandoned
from fer_model.sources.live.line import Pauses
from tests.support.captures import Gathered
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.live_servers import tcp_sending


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_a_thousand_reconnects_leave_no_thread_no_file_and_no_memory(
    tmp_path: Path, capturing: Callable[..., Capture]
) -> None:
    """Of two streams, of which one keeps everything."""
    clip = write_clip(tmp_path / "a.ts", panning_frames(noise_picture(), 3, (64, 48)), gop=3, bframes=0).read_bytes()
    with tcp_sending(lambda client: [clip]) as url:
        pauses = Pauses(first_s=0.001, longest_s=0.002)
        streams = [
            Gathered(capturing(url, pauses=pauses, policy=policy, spool=tmp_path))
            for policy in ("realtime", "everything")
        ]

        def reached(got: Gathered, reconnects: int) -> bool:
            got.frames.clear()  # each holds its picture
            return got.capture.figures().reconnects >= reconnects

        def after(reconnects: int) -> tuple[float, int, int]:
            for each in streams:
                each.until(lambda got: reached(got, reconnects // 2))
            return resident_mb(), threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

        memory, threads, files = after(200)
        later = after(1000)
    assert abandoned() == 0
    assert later[1] <= threads + 2 and later[2] <= files + 6, "connections that just begin or end"
    assert later[0] < memory + 10
