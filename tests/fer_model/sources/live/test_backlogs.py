"""Undecoded pictures that wait: what is kept, and what is dropped first."""

import os
from pathlib import Path

import pytest

from fer_model.sources.live.backlog import MOST_BYTES, STALE_S, Newest
from fer_model.sources.live.packets import Coded, Format
from fer_model.sources.live.spool import Spool

FORMATS = [Format(number, "h264", b"\1\2", (320, 180), "yuv420p", None, 25.0) for number in range(2)]
GROUP = 5


def coded(number: int, due: float | None = None, size: int = 100) -> Coded:
    """A picture every 40 ms, every `GROUP`-th of them a keyframe."""
    data = number.to_bytes(4, "big") * (size // 4)
    moment = number * 0.04 if due is None else due
    return Coded(data, number % GROUP == 0, 1_800_000_000_000 + 40 * number, moment, "rtcp", FORMATS[number % 2])


def number(each: Coded | None) -> int:
    assert each is not None
    return int.from_bytes(each.data[:4], "big")


def test_what_is_in_time_comes_out_in_order_when_it_is_due() -> None:
    waiting = Newest(lambda count: pytest.fail("nothing is late"))
    for each in range(3):
        waiting.put(coded(each))
    assert waiting.get(-0.01) is None and waiting.due() == 0.0
    assert [number(waiting.get(0.09)) for _ in range(3)] == [0, 1, 2]
    assert waiting.get(1.0) is None and waiting.empty()


def test_behind_time_what_stands_before_the_newest_keyframe_is_dropped() -> None:
    dropped: list[int] = []
    waiting = Newest(dropped.append)
    for each in range(13):
        waiting.put(coded(each))
    assert number(waiting.get(STALE_S + 0.01)) == 10 and dropped == [10]


def test_without_a_later_keyframe_what_is_late_is_decoded() -> None:
    waiting = Newest(lambda count: pytest.fail("it would be lost for nothing") if count else None)
    for each in (0, 1, 2):
        waiting.put(coded(each))
    assert number(waiting.get(100.0)) == 0


def test_memory_is_bounded_and_reading_goes_on_at_a_keyframe() -> None:
    dropped: list[int] = []
    waiting = Newest(dropped.append)
    for each in range(1, 12):
        waiting.put(coded(each, size=MOST_BYTES // 8))
    assert number(waiting.get(0.4)) == 10 and sum(dropped) == 9


def test_the_spool_gives_everything_back_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path, lambda count: pytest.fail("nothing is to be dropped"))
    given = []
    for each in range(60):
        spool.put(coded(each))
        if each % 3 == 0:
            given.append(spool.get(0.0))
    while (one := spool.get(0.0)) is not None:
        given.append(one)
    assert [(one.data, one.key, one.at_ms, one.clock, one.format) for one in given if one] == [
        (one.data, one.key, one.at_ms, one.clock, one.format) for one in map(coded, range(60))
    ]
    assert spool.empty() and list(tmp_path.iterdir()) == []
    spool.close()


def test_beyond_its_limit_the_spool_drops_the_oldest_groups(tmp_path: Path) -> None:
    dropped: list[int] = []
    spool = Spool(tmp_path, dropped.append, limit=20_000)
    for each in range(300):
        spool.put(coded(each, size=1000))
    kept = []
    while (one := spool.get(0.0)) is not None:
        kept.append(number(one))
    assert kept == list(range(kept[0], 300)) and kept[0] % GROUP == 0
    assert sum(dropped) == 300 - len(kept) and 10 < len(kept) <= 20
    spool.close()


def test_a_group_larger_than_the_limit_is_dropped_up_to_the_next_keyframe(tmp_path: Path) -> None:
    dropped: list[int] = []
    spool = Spool(tmp_path, dropped.append, limit=2_500)
    for each in range(7):
        spool.put(coded(each, size=1000))
    assert number(spool.get(0.0)) == 5 and sum(dropped) == 5
    spool.close()


def test_a_disk_that_takes_nothing_loses_pictures_and_stops_nothing(tmp_path: Path) -> None:
    dropped: list[int] = []
    (folder := tmp_path / "gone").mkdir()
    spool = Spool(folder, dropped.append)
    os.rmdir(folder)
    for each in range(7):
        spool.put(coded(each))
    assert sum(dropped) == 7 and spool.get(0.0) is None
    folder.mkdir()
    for each in range(7, 12):
        spool.put(coded(each))
    assert number(spool.get(0.0)) == 10, "it goes on at a keyframe"
    spool.close()
