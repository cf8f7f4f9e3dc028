"""When a packet's picture was captured, on the wall clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf

from fer_model.sources.live.packets import Arrived, Clock, Coded

BACK_S, ON_S = 0.5, 10.0
"""Steps back beyond the first (B-frames go back less) and forward beyond the second are a new clock."""

TRUST_S = 5.0
"""A source's wall clock that is further off is taken for wrong: many cameras are never set."""

WINDOW_S = 60.0
"""Offsets are forgotten after one to two windows, or the drift of a cheap quartz would add up over days."""

JITTER_S = 0.5
"""A packet that is later than the others by more than this is old when it comes; cameras pause as long at keyframes."""

SET_S = 1.0
"""This machine's wall clock was set if it gains or loses more than this between two packets: NTP slews much less."""

AHEAD_S = 5.0
"""Times that are this much further on than the clock are of a clock that was set back since."""

HOLD_S = 0.5
"""Between the arrival of a burst's slowest packet and its showing: longer than a burst is waited for."""


class Least:
    """The least value of the last one to two windows."""

    def __init__(self) -> None:
        self._begun, self._before, self._now = -inf, inf, inf

    def see(self, value: float, moment: float) -> None:
        if moment - self._begun > WINDOW_S:
            self._begun, self._before, self._now = moment, self._now, inf
        self._now = min(self._now, value)

    @property
    def value(self) -> float:
        return min(self._before, self._now)


class SourceClock:
    """Maps the timestamps of one connection to the wall clock.

    A packet that came without delay fixes the offset: the least difference between arrival and timestamp. Where the
    source reports its own wall time (RTCP), that counts, unless it is more than `TRUST_S` off. Timestamps that jump
    begin anew, and so does the offset when this machine's wall clock is set. How late a packet comes is measured on the
    monotonic clock. `in_bursts`: packets come a segment at a time, and are to be shown at the pace of their timestamps.
    """

    def __init__(self, in_bursts: bool = False) -> None:
        self._in_bursts = in_bursts
        self._restart()

    def _restart(self) -> None:
        self._last: float | None = None
        self._offset, self._delay, self._pace = Least(), Least(), Least()
        self._ahead: float | None = None
        self._sent: float | None = None
        self.off_by: float | None = None
        """Seconds by which the source's own clock is wrong; None while it is trusted or not known."""

    @property
    def kind(self) -> Clock:
        return "arrival" if self._sent is None else "rtcp"

    def settle(self, arrived: Iterable[Arrived]) -> Iterator[Coded]:
        """Packets that arrived together with their times: all of them are looked at before the first is given one."""
        run: list[Arrived] = []
        for packet in arrived:
            if packet.stamp is not None:
                if self._last is not None and not -BACK_S <= packet.stamp - self._last <= ON_S:
                    yield from self._timed(run)
                    run = []
                    self._restart()
                self._see(packet, packet.stamp)
            run.append(packet)
        yield from self._timed(run)

    def _see(self, packet: Arrived, stamp: float) -> None:
        self._last, ahead = stamp, packet.at - packet.monotonic
        if self._ahead is not None and abs(ahead - self._ahead) > SET_S:
            self._offset = Least()
        self._ahead = ahead
        self._offset.see(packet.at - stamp, packet.monotonic)
        self._delay.see(packet.monotonic - stamp, packet.monotonic)
        self._pace.see(stamp - packet.monotonic, packet.monotonic)
        if packet.sent is not None:
            off_by = packet.sent - stamp - self._offset.value
            trusted = abs(off_by) <= TRUST_S
            # No picture is captured after it has come: a clock that is a little ahead counts as far as that.
            self._sent, self.off_by = (packet.sent - stamp - max(0.0, off_by), None) if trusted else (None, off_by)

    def _timed(self, run: Sequence[Arrived]) -> Iterator[Coded]:
        times, later = [], inf
        for packet in reversed(run):
            later = self._wall(packet) if packet.stamp is not None else min(packet.at, later - 0.001)
            times.append(later)
        for packet in run:
            yield Coded(packet.data, packet.key, round(times.pop() * 1000), self._due(packet), self.kind, packet.format)

    def _due(self, packet: Arrived) -> float:
        """When it is to be shown, on the monotonic clock: at once, unless it came in a burst, or too late."""
        if packet.stamp is None:
            return packet.monotonic
        if self._in_bursts:
            return packet.stamp - self._pace.value + HOLD_S
        late = packet.monotonic - packet.stamp - self._delay.value
        return packet.monotonic - max(0.0, late - JITTER_S)

    def _wall(self, packet: Arrived) -> float:
        assert packet.stamp is not None
        return packet.stamp + (self._offset.value if self._sent is None else self._sent)


class Steady:
    """Makes the times of shown pictures strictly increasing: a correction backwards lets time go at half its speed.

    Only a clock that was set back by more than `AHEAD_S` takes them back: at half their speed they would be wrong for
    twice as long as it was set back.
    """

    def __init__(self) -> None:
        self._raw = self._given = -(2**62)

    def __call__(self, at_ms: int, now_ms: int) -> int:
        """The time of a picture; `now_ms` is that of the wall clock."""
        step = max(1, (at_ms - self._raw) // 2)
        is_set_back = self._given > max(at_ms, now_ms) + 1000 * AHEAD_S
        self._raw, self._given = at_ms, at_ms if is_set_back else max(at_ms, self._given + step)
        return self._given


class Rate:
    """Chooses frames so that about `fps` a second remain, evenly: the first at or after each due time."""

    def __init__(self, fps: float | None) -> None:
        self.fps = fps
        self._due = -inf

    def wants(self, at_ms: int) -> bool:
        if self.fps is None:
            return True
        period = 1000 / self.fps
        tolerance = min(10.0, period / 4)
        if not self._due - 2 * period <= at_ms < self._due + period:  # the first, or after a gap or a jump
            self._due = at_ms
        if at_ms < self._due - tolerance:
            return False
        self._due += period
        return True
