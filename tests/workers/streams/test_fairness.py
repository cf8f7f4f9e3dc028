"""Sharing the detector's time among streams."""

from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.streams.balance import CALM, Balance
from workers.streams.fairness import fair_level, fits
from workers.streams.speed import USABLE, Speed

RATES = st.lists(st.floats(0.1, 100), min_size=1, max_size=20)


@given(RATES, st.floats(0.1, 500))
def test_no_stream_could_have_more_without_another_that_has_less(demands: list[float], capacity: float) -> None:
    level = fair_level(demands, capacity)
    used = sum(min(demand, level) for demand in demands)
    if level == inf:
        assert used <= capacity * (1 + 1e-9), "all demands fit"
    else:
        assert used == pytest.approx(capacity), "nothing is left over"
        assert max(demands) > level


def test_a_stream_that_needs_little_is_not_cut() -> None:
    assert fair_level([2.0, 25.0, 25.0], 30.0) == 14.0
    assert fair_level([], 30.0) == inf


def test_a_hub_is_full_when_its_streams_could_not_each_have_five_frames_a_second() -> None:
    speed = 20 / USABLE
    assert fits([None, 25.0], None, speed) and fits([None, 25.0, 5.0], 5.0, speed)
    assert not fits([None, 25.0, 5.0, None], 1.0, speed)
    assert fits([None, 25.0, 5.0, 1.0], 1.0, speed), "less than five is asked for"
    assert fits([], None, 1.0), "the first one gets what there is"


@dataclass
class Camera:
    """A stream that wants `demand` frames a second; `limits` are those that were set."""

    demand: float
    limits: list[float | None] = field(default_factory=list)

    def limit(self, fps: float | None) -> None:
        if not self.limits or self.limits[-1] != fps:
            self.limits.append(fps)


def test_streams_are_limited_while_the_detector_is_full_and_not_before() -> None:
    modest, greedy = Camera(5.0), Camera(50.0)
    balance = Balance(Speed(40.0))
    balance.share([modest, greedy], 30.0, 0.5)
    assert greedy.limits == [], "it asks for more than was measured, but the detector has time"
    balance.share([modest, greedy], 40.0, 1.0)
    assert greedy.limits == [pytest.approx(40 * USABLE - 5)]
    assert modest.limits == [None]
    greedy.demand = 10.0
    for _ in range(CALM - 1):
        balance.share([modest, greedy], 15.0, 0.2)
    assert len(greedy.limits) == 1, "it may come back at once"
    balance.share([modest, greedy], 15.0, 0.2)
    assert greedy.limits[-1] is None


def test_limits_find_the_speed_that_the_detector_really_has() -> None:
    """Another program takes half of the processor, and then ends."""
    camera, balance = Camera(100.0), Balance(Speed(60.0))
    for true_speed in (30.0, 60.0):
        for _ in range(60):
            asked = min(camera.demand, next((each for each in reversed(camera.limits) if each), camera.demand))
            balance.share([camera], min(asked, true_speed), min(1.0, asked / true_speed))
        assert balance.speed.fps == pytest.approx(true_speed, rel=0.2)


def test_an_unlimited_detector_is_believed_to_be_as_fast_as_it_was_measured() -> None:
    speed = Speed(60.0)
    for _ in range(10):
        speed.note(20.0, 1.0, is_limited=False)
    assert speed.fps == pytest.approx(20.0, rel=0.1)
    for _ in range(300):
        speed.note(20.0, 0.3, is_limited=False)
    assert speed.fps == 60.0
