"""From a source's timestamps to the wall clock, and the choice of frames."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from fer_model.sources.live.packets import Arrived, Coded, Format
from fer_model.sources.live.source_clock import JITTER_S, SET_S, Rate, SourceClock, Steady

FORMAT = Format(0, "h264", None, (320, 180), "yuv420p", None, 25.0)
BEGUN, STEP = 1_800_000_000.0, 0.04


def arrivals(
    delays: Sequence[float], first: float = 10.0, sent: float | None = None, begun: float = BEGUN
) -> list[Arrived]:
    """Packets captured every 40 ms from `begun`, which arrive after so many seconds. `sent`: the error of the source's
    clock in seconds; None if it gives no time."""
    times = [begun + number * STEP for number in range(len(delays))]
    return [
        Arrived(
            b"",
            number == 0,
            first + number * STEP,
            None if sent is None else time + sent,
            time + delay,
            time - BEGUN + delay,
            FORMAT,
        )
        for number, (time, delay) in enumerate(zip(times, delays, strict=True))
    ]


def settled(clock: SourceClock, packets: list[Arrived], together: bool = False) -> list[Coded]:
    return list(clock.settle(packets)) if together else [each for one in packets for each in clock.settle([one])]


def offsets(coded: list[Coded], begun: float = BEGUN) -> list[int]:
    """How many ms each time is later than the capture."""
    return [each.at_ms - round((begun + number * STEP) * 1000) for number, each in enumerate(coded)]


def test_the_packet_that_came_quickest_fixes_the_offset() -> None:
    coded = settled(SourceClock(), arrivals([0.3, 0.1, 0.5, 0.2]))
    assert offsets(coded) == [300, 100, 100, 100] and {each.clock for each in coded} == {"arrival"}


def test_packets_that_come_together_have_the_times_of_the_newest() -> None:
    burst = arrivals([1.0 - number * STEP for number in range(25)])
    assert set(offsets(settled(SourceClock(), burst, together=True))) == {40}


def test_the_offset_is_forgotten_or_a_drift_would_add_up() -> None:
    minutes = 10 * 60 * 25
    drifting = arrivals([0.05 + number * STEP * 1e-3 for number in range(minutes)])
    late = offsets(settled(SourceClock(), drifting))
    assert late[-1] == pytest.approx(50 + 600, abs=121)


def test_the_source_s_own_clock_counts_from_its_first_report() -> None:
    clock = SourceClock()
    coded = settled(
        clock,
        arrivals([0.4] * 3)
        + [
            replace(each, stamp=(each.stamp or 0) + 0.12)
            for each in arrivals([0.4] * 3, sent=-0.05, begun=BEGUN + 3 * STEP)
        ],
    )
    assert offsets(coded) == [400, 400, 400, -50, -50, -50]
    assert [each.clock for each in coded] == ["arrival"] * 3 + ["rtcp"] * 3


@pytest.mark.parametrize("error", [-3600.0, 6.0, -5.5])
def test_a_source_s_clock_that_is_wrong_is_not_used(error: float) -> None:
    clock = SourceClock()
    coded = settled(clock, arrivals([0.1] * 3, sent=error))
    assert offsets(coded) == [100] * 3 and clock.kind == "arrival"
    assert clock.off_by == pytest.approx(error - 0.1, abs=0.01)


def test_no_picture_is_captured_after_it_came() -> None:
    coded = settled(SourceClock(), arrivals([0.1] * 3, sent=2.0))
    assert offsets(coded) == [100] * 3


@pytest.mark.parametrize("first", [0.0, 1e6])
def test_timestamps_that_jump_begin_anew(first: float) -> None:
    clock = SourceClock()
    before = settled(clock, arrivals([0.1] * 5, first=5000.0, sent=0.0))
    after = settled(clock, arrivals([0.2] * 5, first=first, begun=BEGUN + 60), together=True)
    assert offsets(before) == [0] * 5
    assert offsets(after, BEGUN + 60) == [200] * 5 and after[0].clock == "arrival"


def test_a_jump_within_a_burst_spoils_no_time() -> None:
    packets = arrivals([0.1] * 5) + arrivals([0.1] * 5, first=0.0, begun=BEGUN + 5 * STEP)
    assert offsets(settled(SourceClock(), packets, together=True)) == [100] * 10


def test_packets_without_timestamps_have_the_time_of_their_arrival() -> None:
    packets = arrivals([0.1, 0.3, 0.2])
    bare = [replace(each, stamp=None) for each in packets]
    assert offsets(settled(SourceClock(), bare)) == [100, 300, 200]
    # RTSP's first packet has none, and is a keyframe that the next ones need.
    first = settled(SourceClock(), [bare[0], *packets[1:]], together=True)
    assert first[0].at_ms < first[1].at_ms


def test_what_comes_late_is_stale_at_once_and_a_camera_s_pause_is_not() -> None:
    coded = settled(SourceClock(), arrivals([0.1, 0.1 + JITTER_S, 3.1]))
    age = [each.due - (each.at_ms / 1000 - BEGUN) for each in coded]
    assert age == pytest.approx([0.0, JITTER_S, JITTER_S], abs=0.01)


@pytest.mark.parametrize("set_by", [-3600.0, -30.0, 0.5, 1.5, 3600.0])
def test_a_wall_clock_that_is_set_makes_no_packet_late(set_by: float) -> None:
    clock, packets = SourceClock(), arrivals([0.1] * 50 + [3.1])
    after = [replace(each, at=each.at + set_by) for each in packets[25:]]
    coded = settled(clock, packets[:25] + after)
    moments = [packet.monotonic for packet in packets[:-1]]
    assert [each.due for each in coded] == pytest.approx([*moments, packets[-1].monotonic - 3.0 + JITTER_S])
    if abs(set_by) > SET_S:
        assert offsets(coded) == [100] * 25 + [100 + round(1000 * set_by)] * 26


def test_segments_are_shown_at_the_pace_of_their_timestamps() -> None:
    clock, due = SourceClock(in_bursts=True), []
    for segment in range(4):
        delays = [1.0 - number * STEP for number in range(25)]
        packets = arrivals(delays, first=segment * 1.0, begun=BEGUN + segment)
        coded = settled(clock, packets, together=True)
        assert max(packet.monotonic for packet in packets) < coded[0].due
        due += [each.due for each in coded]
    assert [later - earlier for earlier, later in itertools.pairwise(due)] == pytest.approx([STEP] * 99)


def test_times_go_on_at_half_their_speed_when_they_are_corrected_backwards() -> None:
    steady = Steady()
    raw = [0, 40, 80, -120, -80, -40, 0, 40, 80, 120, 160, 200]
    given = [steady(each, 300) for each in raw]
    assert given == [0, 40, 80, 81, 101, 121, 141, 161, 181, 201, 221, 241]
    assert [steady(each, 500) for each in (400, 440)] == [400, 440]


def test_times_go_back_only_with_a_clock_that_was_set_back() -> None:
    hour, steady = 3_600_000, Steady()
    assert [steady(hour + each, hour + each) for each in (0, 40)] == [hour, hour + 40]
    assert [steady(each, each) for each in (80, 120)] == [80, 120]
    # A playlist that is read again has older pictures by the same clock.
    assert [steady(each, hour) for each in (hour, hour - 60_000, hour - 59_960)] == [hour, hour + 1, hour + 21]


@pytest.mark.parametrize(("source", "fps", "expected"), [(25, 5, 50), (25, 25, 250), (30, 30, 300), (30, 7, 70)])
def test_the_rate_is_held_evenly_in_spite_of_jitter(source: int, fps: int, expected: int) -> None:
    rate, jitter = Rate(fps), [0, 4, -3, 2, -4, 1, -1]
    times = [round(number * 1000 / source) + jitter[number % 7] for number in range(source * 10)]
    kept = [time for time in times if rate.wants(time)]
    assert len(kept) == pytest.approx(expected, abs=1)
    assert max(later - earlier for earlier, later in itertools.pairwise(kept)) <= 1000 / fps + 1000 / source + 8


def test_a_rate_goes_on_after_a_jump() -> None:
    rate = Rate(5)
    assert [rate.wants(time) for time in (0, 40, 200, 90_000, 90_040, 10, 50, 210)] == [
        True, False, True, True, False, True, False, True,
    ]  # fmt: skip
