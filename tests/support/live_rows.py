"""A stream that a worker has, with the rows of its last minutes, for tests and pictures of the page."""

import math
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from results.jobs import utc_now
from results.leases import Claim
from results.recording import append_stream, hour, resume
from tests.support.rows import face, frame, new_stream, take_stream

FIGURES = {
    "state": "live",
    "clock": "rtcp",
    "capture_fps": 25.0,
    "processed_fps": 24.8,
    "delay_p50_ms": 540.0,
    "delay_p95_ms": 967.0,
    "skipped_stale": 12,
}
STEP_MS = 500


def live_stream(session: Session, name: str = "lobby", seconds: int = 240) -> Claim:
    """A live stream's claim: one person who is happy and neutral in turn, and out of the picture at times."""
    claim = take_stream(session, new_stream(session, name), "camera-worker:41")
    resumed = resume(session, claim)
    now = utc_now(session)
    at = max(now - timedelta(seconds=seconds), now.replace(minute=0, second=0, microsecond=0))
    found = hour(session, claim, at)
    first, last = (round((moment - found.started_at).total_seconds() * 1000) for moment in (at, now))
    frames, faces = [], []
    for index, time_ms in enumerate(range(first, last, STEP_MS)):
        joy = 0.5 + 0.4 * math.sin(time_ms / 20_000)
        is_there = time_ms % 60_000 < 50_000
        frames.append(frame(found.media_id, index, time_ms, int(is_there)))
        if is_there:
            rest = 1 - joy
            scores: dict[str, Any] = {
                "happy": 0.8 * joy,
                "surprise": 0.2 * joy,
                "neutral": 0.8 * rest,
                "sad": 0.2 * rest,
            }
            faces.append(face(found.media_id, index, time_ms, track_id=time_ms // 60_000, **scores))
    events = [
        (found.media_id, at, "connected", "H.264, 640x360, 25 frames a second"),
        (found.media_id, now - timedelta(seconds=20), "clock", "times are those of the source's own clock (RTCP)"),
    ]
    append_stream(
        session, claim, resumed.appends, frames=frames, faces=faces, next_track_id=60, events=events, figures=FIGURES
    )
    return claim
