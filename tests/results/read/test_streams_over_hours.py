"""Timelines, exports and views of a stream, whose recording is cut into hours, against a calculation by hand."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from results import read_faces
from results.database import reading, writing
from results.emotions import EMOTIONS
from results.errors import TimelineError
from results.read.exports import count_faces, export_faces
from results.read.face_filter import FaceFilter
from results.read.parts import ALWAYS, Period
from results.read.report.page import write_report
from results.read.status import job_status
from results.read.timelines import By, timeline
from results.recording import append_stream, hour
from results.stream_tables import StreamEvent
from results.streams import stop_stream
from tests.support.rows import THREE_SECONDS, face, frame, new_job, new_stream, take_stream

THREE = datetime(2026, 11, 26, 15, 0, tzinfo=UTC)
STEP_MS = 400
HAPPY = np.random.default_rng(1).random(30).round(3).tolist()
"""Of the face in each frame, from six seconds before the full hour to six after it; every fifth frame has none."""


def moment(n: int) -> datetime:
    return THREE + timedelta(milliseconds=(n - 15) * STEP_MS)


@pytest.fixture
def known(database: Database) -> Iterator[tuple[Session, str]]:
    """A stream over a full hour with one track, and another job and stream that no answer may contain."""
    with writing(database) as session:
        record(session, new_stream(session, "other"))
        new_job(session, [], [])
        job_id = new_stream(session, "lobby")
        record(session, job_id)
    with reading(database) as session:
        yield session, job_id


def record(session: Session, job_id: str) -> None:
    claim = take_stream(session, job_id)
    frames, faces = [], []
    for n, happy in enumerate(HAPPY):
        place = hour(session, claim, moment(n))
        index, time_ms = n % 15, round((moment(n) - place.started_at).total_seconds() * 1000)
        frames.append(frame(place.media_id, index, time_ms, int(n % 5 != 0)))
        if n % 5:
            faces.append(face(place.media_id, index, time_ms, track_id=3, happy=happy, sad=1 - happy))
    append_stream(session, claim, 0, frames=frames, faces=faces, next_track_id=4)


def expected(bucket_ms: int, first: int = 0, last: int = 30, smooth_ms: int = 0) -> list[tuple[Any, ...]]:
    """Start, frames, faces and mean of happy of each bucket over the frames from `first` until before `last`."""
    seen: dict[int, list[float | None]] = defaultdict(list)
    for n in range(first, last):
        near = [HAPPY[m] for m in range(30) if m % 5 and 2 * abs(m - n) * STEP_MS <= smooth_ms] or [HAPPY[n]]
        start = round(moment(n).timestamp() * 1000) // bucket_ms * bucket_ms
        seen[start].append(sum(near) / len(near) if n % 5 else None)
    rows = []
    for start, values in sorted(seen.items()):
        faces = [value for value in values if value is not None]
        mean = pytest.approx(sum(faces) / len(faces), abs=1e-6) if faces else None
        rows.append((start, len(values), len(faces), mean))
    return rows


def shown(rows: Iterator[dict[str, Any]]) -> list[tuple[Any, ...]]:
    found = list(rows)
    for row in found:
        assert row["at"] == datetime.fromtimestamp(row["start_ms"] / 1000, UTC) and row["media_id"] is None
    return [(row["start_ms"], row["frames"], row["faces"], row["happy"]) for row in found]


@pytest.mark.parametrize("bucket_ms", [1000, 7000, 3_600_000, 7_200_000, 86_400_000])
def test_buckets_go_on_over_the_full_hour(known: tuple[Session, str], bucket_ms: int) -> None:
    for by in ("media", "job"):
        assert shown(timeline(*known, bucket_ms=bucket_ms, by=by)) == expected(bucket_ms)
    tracks = list(timeline(*known, bucket_ms=bucket_ms, by="track"))
    with_face = [row for row in expected(bucket_ms) if row[2]]
    assert [(row["start_ms"], row["frames"], row["faces"], row["happy"]) for row in tracks] == with_face
    assert {(row["track_id"], row["uri"]) for row in tracks} == {(3, "rtsp://camera/lobby")}


def test_a_track_is_smoothed_over_the_full_hour(known: tuple[Session, str]) -> None:
    smooth = FaceFilter(smooth_s=2.0)
    assert shown(timeline(*known, face_filter=smooth)) == expected(1000, smooth_ms=2000)
    # What lies before the period is smoothed into it.
    period = Period(moment(15), moment(20))
    found = timeline(*known, face_filter=smooth, period=period)
    assert shown(found) == expected(1000, 15, 20, smooth_ms=2000)


def test_a_period_has_whole_buckets(known: tuple[Session, str]) -> None:
    assert shown(timeline(*known, bucket_ms=400, period=Period(moment(10), moment(20)))) == expected(400, 10, 20)
    # 15:00:01.6 lies in the second that begins with 15:00:01.2.
    assert shown(timeline(*known, period=Period(since=moment(19)))) == expected(1000, 18)
    assert shown(timeline(*known, period=Period(until=moment(3)))) == expected(1000, 0, 3)
    assert list(timeline(*known, period=Period(since=THREE + timedelta(hours=9)))) == []
    with pytest.raises(TimelineError, match="before it begins"):
        timeline(*known, period=Period(THREE, THREE))


def test_only_streams_have_periods(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [], THREE_SECONDS[:0])
        with pytest.raises(TimelineError, match="Only streams"):
            timeline(session, job_id, period=Period(since=THREE))


@pytest.mark.parametrize("by", ["media", "track"])
def test_one_hour_alone_counts_from_its_beginning(known: tuple[Session, str], by: By) -> None:
    session, job_id = known
    sql = text("SELECT id FROM media WHERE job_id = :job ORDER BY position DESC LIMIT 1")
    media_id = session.execute(sql, {"job": job_id}).scalar_one()
    first, *_ = timeline(session, job_id, media_id=media_id, by=by)
    assert (first["start_ms"], first["at"], first["media_id"]) == (0, THREE, media_id)


def test_the_views_have_moments(known: tuple[Session, str]) -> None:
    session, job_id = known
    for view in ("emotion_timeline", "track_timeline"):
        rows = session.execute(text(f"SELECT at FROM {view} WHERE job_id = :job ORDER BY at"), {"job": job_id}).all()
        found = [datetime.fromisoformat(str(row.at)).replace(tzinfo=None) for row in rows]
        begin = moment(0 if view == "emotion_timeline" else 1).replace(microsecond=0, tzinfo=None)
        assert (found[0], found[-1], len(found)) == (begin, datetime(2026, 11, 26, 15, 0, 5), 12)


def test_an_export_has_moments_in_a_time_zone_and_the_keys_of_faces(known: tuple[Session, str], tmp_path: Path) -> None:
    session, job_id = known
    frames = [n for n in range(30) if n % 5]
    moments = [moment(n).astimezone(ZoneInfo("Europe/Berlin")) for n in frames]
    buffer, wanted = io.BytesIO(), {"face_filter": FaceFilter(), "zone": "Europe/Berlin"}
    export_faces(session, job_id, "csv", buffer, **wanted)  # type: ignore[arg-type]
    rows = list(csv.DictReader(io.StringIO(buffer.getvalue().decode())))
    assert [row["at"] for row in rows] == [at.isoformat(timespec="milliseconds") for at in moments]
    assert rows[0]["at"] == "2026-11-26T15:59:54.400+01:00"
    assert [int(row["time_ms"]) for row in rows] == [
        round((at - at.replace(minute=0, second=0, microsecond=0)).total_seconds() * 1000) for at in moments
    ]
    assert [int(row["frame_index"]) for row in rows] == [n % 15 for n in frames]
    lines = io.BytesIO()
    export_faces(session, job_id, "jsonl", lines, face_filter=FaceFilter(), period=Period(moment(16), moment(19)))
    assert [json.loads(line)["at"] for line in lines.getvalue().splitlines()] == [
        moment(n).isoformat(timespec="milliseconds") for n in (16, 17, 18)
    ]
    export_faces(session, job_id, "parquet", tmp_path / "faces.parquet", **wanted)  # type: ignore[arg-type]
    table = polars.read_parquet(tmp_path / "faces.parquet")
    assert table["at"].to_list() == moments and table["at"].dtype == polars.Datetime("ms", "Europe/Berlin")
    export_faces(session, job_id, "xlsx", tmp_path / "faces.xlsx", **wanted)  # type: ignore[arg-type]
    assert count_faces(session, job_id, FaceFilter(), Period(moment(16), moment(19))) == 3
    assert job_status(session, job_id).media == 2


def test_a_notebook_reads_a_time_of_a_stream(known: tuple[Session, str], migrated_url: str) -> None:
    found = read_faces("lobby", database=migrated_url, since=moment(16), until=moment(19))
    assert found["at"].to_list() == [moment(n) for n in (16, 17, 18)]
    assert found["happy"].to_list() == HAPPY[16:19]


def test_a_report_has_hours_with_the_time_of_day_and_what_happened(known: tuple[Session, str]) -> None:
    session, job_id = known
    newest = session.execute(text("SELECT max(id) FROM media WHERE job_id = :job"), {"job": job_id}).scalar_one()
    session.add(StreamEvent(media_id=newest, at=THREE, kind="taken_over", detail="b took the stream <over> from a."))
    session.flush()

    def page(period: Period = ALWAYS) -> str:
        file = io.StringIO()
        terms: dict[str, Any] = {"palette": dict.fromkeys(EMOTIONS, "#000"), "zone": ZoneInfo("Asia/Kolkata")}
        write_report(session, job_id, file, period=period, **terms)
        return file.getvalue()

    whole = page()
    for part in (
        *("<h1>lobby</h1>", "2</b> hours", "30</b> frames", "24</b> faces", "2026-11-26 19:30", "2026-11-26 20:30"),
        *("Asia/Kolkata", ">19:40</span>", ">20:30:01</span>", "2026-11-26 20:30:00", "taken over", "&lt;over&gt;"),
    ):
        assert part in whole, part
    assert whole.count('<article class="medium"') == 2 and "files" not in whole.partition("What made these")[0]
    last = page(Period(since=THREE))
    assert "15</b> frames" in last and "12</b> faces" in last and last.count('<article class="medium"') == 1
    assert "1</b> hour<" in last and "<button>hour</button>" in last
    # What a click on the title sorts by.
    assert re.findall(r'class="file" data-value="(.+?)"', whole) == ["2026-11-26 19:30", "2026-11-26 20:30"]
    stop_stream(session, "lobby")
    assert ", stopped on" in page() and "cancelled" not in page()
