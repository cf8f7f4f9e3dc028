"""How positions in a medium are written."""

import pytest

from results.read.times import clock, exact_clock, timestamp


@pytest.mark.parametrize(
    ("ms", "short", "exact", "subtitle"),
    [
        (0, "0:00", "0:00:00", "00:00:00,000"),
        (7_500, "0:07", "0:00:07.500", "00:00:07,500"),
        (65_000, "1:05", "0:01:05", "00:01:05,000"),
        (3_599_999, "59:59", "0:59:59.999", "00:59:59,999"),
        (7_265_007, "2:01:05", "2:01:05.007", "02:01:05,007"),
        (100 * 3_600_000, "100:00:00", "100:00:00", "100:00:00,000"),
    ],
)
def test_a_position_is_written_for_reading_exactly_and_for_subtitles(
    ms: int, short: str, exact: str, subtitle: str
) -> None:
    assert (clock(ms), exact_clock(ms), timestamp(ms, ",")) == (short, exact, subtitle)
    assert timestamp(ms, ".") == subtitle.replace(",", ".")
