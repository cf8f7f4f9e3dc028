"""The list of markers and its download."""

from datetime import UTC, datetime

from results.markers import Marker
from results.tables import Media
from web.parts.markers import csv, table

FOUND = [
    Marker(time_ms=1_200_000, until_ms=None, label="looks away", note="to the left"),
    Marker(time_ms=1_200_500, until_ms=1_201_000, label="laughs", note=None),
]
HOUR = Media(kind="stream", uri="rtsp://camera/1", started_at=datetime(2026, 3, 1, 14, tzinfo=UTC))


def test_a_stream_has_times_of_day_in_the_list() -> None:
    shown = table(FOUND, 14 * 3_600_000)
    assert shown["from"] == ["14:20:00", "14:20:00.500"] and shown["to"] == ["", "14:20:01"]
    assert table(FOUND, 0)["from"] == ["0:20:00", "0:20:00.500"]


def test_the_download_has_the_moments_of_a_stream_as_exports_do() -> None:
    assert csv(FOUND, HOUR).decode().splitlines() == [
        "time_ms,until_ms,label,note,at,until",
        "1200000,,looks away,to the left,2026-03-01T14:20:00.000+00:00,",
        "1200500,1201000,laughs,,2026-03-01T14:20:00.500+00:00,2026-03-01T14:20:01.000+00:00",
    ]
    assert csv(FOUND[:1], Media(kind="video", uri="a.mp4")).decode().splitlines()[1:] == [
        "1200000,,looks away,to the left,,"
    ]
