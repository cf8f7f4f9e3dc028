"""Keeps one source connected: opens it, watches it, gives it up, and opens it again after a pause."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Literal

from fer_model.sources.live.connection import Connection
from fer_model.sources.live.loss import NO_PICTURES, STUCK, Loss
from fer_model.sources.live.opening import Source

State = Literal["connecting", "live", "reconnecting"]


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds between attempts: from `first_s` doubled to `longest_s`, from `locked_s` where the login is refused. A
    connection that gave pictures for `stable_s` begins anew."""

    first_s: float = 0.5
    longest_s: float = 60.0
    locked_s: float = 15.0
    stable_s: float = 30.0

    def after(self, failures: int, loss: Loss) -> float:
        """The pause after so many failures before this one; jittered, so that cameras are not all tried at once."""
        least = self.locked_s if loss.locked else self.first_s
        doubled = self.first_s * 2.0 ** min(failures, 30)
        return min(self.longest_s, max(least, doubled) * random.uniform(1.0, 1.25))


class Line:
    """`note(kind, detail)` is called for each event."""

    def __init__(
        self, source: Source, wake: Callable[[], None], note: Callable[[str, str], None], pauses: Pauses
    ) -> None:
        self._source, self._wake, self._note, self._pauses = source, wake, note, pauses
        self.state: State = "connecting"
        self.reconnects = 0
        self.connection: Connection | None = None
        self._failures, self._next, self._last_reason = 0, 0.0, ""
        self._live_since: float | None = None
        self._picture = self._lost_at = monotonic()

    def look(self, now: float, decoded: bool) -> None:
        """Opens a connection if it is time to, and gives up one that has ended or gives no sign.

        `decoded`: whether all packets that came have been decoded.
        """
        if self.connection is None:
            if now >= self._next:
                self.connection, self._picture = Connection(self._source, self._wake), now
        elif self.connection.has_ended and self.connection.loss:
            self._lose(now, self.connection.loss)
        elif now - self.connection.sign > self._source.patience_s:
            self._lose(now, STUCK)
        elif decoded and now - self._picture > self._source.patience_s:
            self._lose(now, NO_PICTURES)

    def picture(self, now: float, what: str) -> None:
        """A picture was decoded; `what` describes it."""
        self._picture = now
        if self._live_since is not None:
            return
        self._live_since = now
        if self.state == "connecting":
            self._note("connected", what)
        else:
            self.reconnects += 1
            self._note("resumed", f"{what}, after {now - self._lost_at:.1f} s")
        self.state, self._last_reason = "live", ""

    def due(self) -> float:
        """When there is something to do, unless something comes before."""
        return self._next if self.connection is None else inf

    def give_up(self) -> None:
        """Ends the connection. Returns at once."""
        if self.connection is not None:
            self.connection.give_up()
        self.connection = None

    def _lose(self, now: float, loss: Loss) -> None:
        self.give_up()
        if self._live_since is not None:
            self.state, self._lost_at = "reconnecting", now
            if now - self._live_since > self._pauses.stable_s:
                self._failures = 0
        self._live_since = None
        pause = self._pauses.after(self._failures, loss)
        self._failures, self._next = self._failures + 1, now + pause
        if loss.reason != self._last_reason:
            # Without the pause: later ones are longer, and no event says so.
            self._last_reason = loss.reason
            self._note("lost", f"{loss.reason}; it is tried again, after pauses of up to a minute")
