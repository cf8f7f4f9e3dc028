"""The figures of one stream: its rates and delays, for the database and for the live summaries."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from fer_model.sources.live.watching import Figures
from fer_model.types import EMOTIONS
from workers.streams.pump import Seen

RATE_S = 5.0
"""The processed frame rate is that of the last seconds."""

DELAYS = 600
"""Delays are those of the last frames."""

CAUSES = ("stale", "decode", "overload")


class Gauge:
    """What became of a stream's frames. `clock` gives seconds since 1970, `timer` seconds that only go up."""

    def __init__(self, clock: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._timer, self._began = clock, timer, timer()
        self._delays: deque[float] = deque(maxlen=DELAYS)
        self._times: deque[float] = deque()
        self._recent: list[Seen] = []
        self._counted = dict.fromkeys((*CAUSES, "reconnects"), 0)

    def committed(self, seen: Sequence[Seen]) -> None:
        """Notes frames whose rows have just been committed."""
        now_ms, now = 1000 * self._clock(), self._timer()
        self._delays.extend(now_ms - each.at_ms for each in seen)
        self._times.extend([now] * len(seen))
        self._recent += seen

    def columns(self, figures: Figures, skipped: dict[str, int]) -> dict[str, Any]:
        """Columns of `streams`; the four counts are what came since the last call."""
        totals = skipped | {"reconnects": figures.reconnects}
        since = {name: total - self._counted[name] for name, total in totals.items()}
        self._counted = totals
        delays = self._delay_ms()
        return {
            "state": figures.state,
            "clock": figures.clock,
            "capture_fps": figures.capture_fps,
            "processed_fps": self._processed_fps(),
            "delay_p50_ms": delays["p50"],
            "delay_p95_ms": delays["p95"],
            **{f"skipped_{cause}": since[cause] for cause in CAUSES},
            "reconnects": since["reconnects"],
        }

    def summary(self, name: str, figures: Figures, skipped: dict[str, int]) -> dict[str, Any]:
        """What happened since the last call, for those who watch: the faces of the newest frame, the means of all."""
        recent, self._recent = self._recent, []
        newest = recent[-1].faces if recent else ()
        faces = [face for each in recent for face in each.faces]
        sums = [sum(face.probabilities[n] for face in faces) for n in range(len(EMOTIONS))]
        means = {emotion: total / len(faces) for emotion, total in zip(EMOTIONS, sums, strict=True)} if faces else {}
        return {
            "at": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
            "stream": name,
            "state": figures.state,
            "capture_fps": _rounded(figures.capture_fps),
            "processed_fps": _rounded(self._processed_fps()),
            "skipped": skipped,
            "delay_ms": {share: _rounded(delay) for share, delay in self._delay_ms().items()},
            "faces": len(newest),
            "emotion": max(means, key=means.__getitem__, default=None),
            "means": {emotion: round(mean, 4) for emotion, mean in means.items()},
            "tracks": [
                {"track_id": face.track_id, "emotion": face.emotion, "confidence": round(face.confidence, 4)}
                for face in newest
            ],
        }

    def _processed_fps(self) -> float:
        now = self._timer()
        while self._times and now - self._times[0] > RATE_S:
            self._times.popleft()
        return len(self._times) / max(min(RATE_S, now - self._began), 1.0)

    def _delay_ms(self) -> dict[str, float | None]:
        ordered = sorted(self._delays)
        if not ordered:
            return {"p50": None, "p95": None}
        return {f"p{share}": ordered[(len(ordered) - 1) * share // 100] for share in (50, 95)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
