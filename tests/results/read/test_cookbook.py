"""Every query of docs/sql-cookbook.md, verbatim, against a job whose answers were computed by hand."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import text
from sqlalchemy.orm import Session

from results.closing import close_job
from results.database import reading, writing
from results.plans import MediaPlan, ShardPlan
from results.recording import append_stream, hour
from results.shards import complete
from tests.support.rows import face, frame, new_job, new_stream, take, take_stream

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sql-cookbook.md"
CALM, TENSE, PHOTO, TORN = "/srv/calm-01.mp4", "/srv/tense-01.mp4", "/srv/photo.jpg", "/srv/torn.mp4"
THREE = datetime(2026, 5, 1, 15, tzinfo=UTC)
ERROR = "/srv/torn.mp4: is not a video (unknown format)"

EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "The dominant emotion of each minute": [
        (CALM, 0, 120, "happy"), (CALM, 1, 60, "sad"), (PHOTO, 0, 1, "fear"), (TENSE, 0, 30, "angry"),
    ],
    "The longest happy span of each track": [(CALM, 0, 0, 60), (CALM, 1, 0, 30)],
    "The share of the time without a face": [(CALM, 33), (PHOTO, 0), (TENSE, 50)],
    "Moments of change": [(CALM, 0, 60, "happy", "sad"), (CALM, 1, 30, "happy", "neutral")],
    "Groups of files compared by their names": [
        ("calm", 1, 180, 54, 30), ("others", 1, 1, 0, 100), ("tense", 1, 30, 0, 90),
    ],
    "Agreement of two persons in one clip": [(CALM, 0, 1, 60, 50)],
    "The most negative files": [(PHOTO, 1, 100), (TENSE, 30, 90), (CALM, 180, 30)],
    "How those in view reacted to a moment": [("before", 20, 62, 10), ("after", 10, 30, 70)],
    "When each emotion is first seen": [
        (CALM, "happy", 0, 90), (CALM, "neutral", 30, 30), (CALM, "sad", 60, 60),
        (PHOTO, "fear", 0, 1), (TENSE, "angry", 0, 30),
    ],
    "The happiest moments": [(CALM, 0, 2, 70), (CALM, 1, 2, 70), (CALM, 2, 2, 70)],
    "Who was seen longest": [
        (CALM, 0, 119, 120, "happy"), (CALM, 1, 59, 60, "happy"), (TENSE, 0, 29, 30, "angry"),
    ],
    "A mean that glides over five seconds": [
        *((CALM, second, 62) for second in (55, 56, 57)),
        (CALM, 58, 56), (CALM, 59, 49), (CALM, 60, 43), (CALM, 61, 36), (CALM, 62, 30), (CALM, 63, 30), (CALM, 64, 30),
    ],
    "Which series to trust": [(TENSE, 30, 30, 100), (CALM, 180, 80, 0), (PHOTO, 1, 80, 0)],
    "The distribution in each file": [
        (CALM, "happy", 50), (CALM, "sad", 33), (CALM, "neutral", 17), (PHOTO, "fear", 100), (TENSE, "angry", 100),
    ],
    "How many people at once": [(CALM, 2, 0), (PHOTO, 1, 1), (TENSE, 1, 0)],
    "What is missing, and why": [(TORN, "failed", ERROR)],
    "Valence and arousal, minute by minute": [
        (CALM, 0, 47, 31), (CALM, 1, -20, -4), (PHOTO, 0, -64, 60), (TENSE, 0, -46, 53),
    ],
    "The busiest minutes of a stream": [
        ("2026-05-01 15:00:00", 60, 50), ("2026-05-01 14:59:30", 30, 100), ("2026-05-01 15:01:00", 30, 50),
    ],
    "The gaps of a stream": [("2026-05-01 14:59:00", "2026-05-01 14:59:30", "The server closed the connection.")],
    "A stream by the hour of the day": [(14, 1, 30, 100), (15, 1, 90, 50)],
}  # fmt: skip


def queries() -> dict[str, str]:
    """The page's queries by their headings."""
    sections = re.split(r"^## (.+)\n", PAGE.read_text(), flags=re.MULTILINE)[1:]
    found = zip(sections[::2], sections[1::2], strict=True)
    return {title: query for title, body in found for query in re.findall(r"```sql\n(.*?)```", body, re.DOTALL)}


@pytest.fixture
def known(database: Database) -> Database:
    """An older job, which no query may return, and the one that the page describes."""
    media = [
        MediaPlan(CALM, "video", duration_ms=180_000),
        MediaPlan(TENSE, "video", duration_ms=60_000),
        MediaPlan(PHOTO, "image"),
        MediaPlan(TORN, "video", state="failed", error=ERROR),
    ]
    shards = [
        ShardPlan(0, 0, 180, video=True, start_ms=0), ShardPlan(1, 1, 60, video=True, start_ms=0), ShardPlan(2, 2, 1),
    ]  # fmt: skip
    with writing(database) as session:
        new_job(session, [MediaPlan("/srv/calm-00.mp4", "video")], [ShardPlan(0, 0, 1, video=True)])
        complete(session, take(session, 1), [frame(1, 0, 0, 1)], [face(1, 0, 0, track_id=0, disgust=1.0)])
        job_id = new_job(session, media, shards)
        complete(session, take(session, 2), *calm(2))
        angry = [face(3, n, n * 1000, track_id=0, angry=0.9, neutral=0.1) | {"quality": 0.3} for n in range(30)]
        complete(session, take(session, 3), [frame(3, n, n * 1000, int(n < 30)) for n in range(60)], angry)
        complete(session, take(session, 4), [frame(4, 0, 0, 1)], [face(4, 0, 0, fear=1.0) | {"quality": 0.8}])
    with writing(database) as session:
        assert close_job(session, job_id)
        record_lobby(session)
    return database


def record_lobby(session: Session) -> None:
    """A happy face in each second of the half minute before the full hour, and a less happy one afterwards."""
    claim = take_stream(session, new_stream(session, "lobby"))
    hours = [hour(session, claim, THREE - timedelta(hours=1)).media_id, hour(session, claim, THREE).media_id]
    places = [(hours[0], 3570 + n, 1.0) for n in range(30)] + [(hours[1], n, 0.5) for n in range(90)]
    frames = [frame(media_id, second, second * 1000, 1) for media_id, second, _ in places]
    faces = [face(*place[:2], place[1] * 1000, happy=place[2]) for place in places]
    lost = (hours[0], THREE - timedelta(seconds=60), "lost", "The server closed the connection.")
    resumed = (hours[0], THREE - timedelta(seconds=30), "resumed", "The source answered again.")
    append_stream(session, claim, 0, frames=frames, faces=faces, events=[lost, resumed], next_track_id=0)


def calm(media_id: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    faces = []
    for second in range(120):
        happy = 0.8 if second < 60 else 0.3
        faces.append(face(media_id, second, second * 1000, 0, track_id=0, happy=happy, sad=1 - happy))
        if second < 60:
            happy = 0.6 if second < 30 else 0.44
            faces.append(face(media_id, second, second * 1000, 1, track_id=1, happy=happy, neutral=1 - happy))
    frames = [frame(media_id, n, n * 1000, 2 if n < 60 else int(n < 120)) for n in range(180)]
    return frames, [each | {"quality": 0.8} for each in faces]


def plain(value: object) -> object:
    """A moment as text to the second, as SQLite has it; other values as they are."""
    text = str(value)
    is_moment = isinstance(value, datetime) or re.match(r"\d{4}-\d\d-\d\d ", text)
    return text[:19] if is_moment else value


def test_there_are_at_least_twelve_and_all_are_checked() -> None:
    assert len(queries()) >= 12 and queries().keys() == EXPECTED.keys()
    assert PAGE.read_text().count("```sql") == len(EXPECTED)


def test_every_query_gives_the_answer(known: Database) -> None:
    with reading(known) as session:
        for title, query in queries().items():
            rows = [tuple(map(plain, row)) for row in session.execute(text(query))]
            assert rows == EXPECTED[title], title


def test_queries_hold_where_data_are_awkward(database: Database) -> None:
    """Two files of one path, ties, seconds that were not sampled, files and hours without a face, several faces."""
    media = [MediaPlan(uri, "video") for uri in (CALM, CALM, "/srv/calm-02.mp4")]
    with writing(database) as session:
        job_id = new_job(session, media, [ShardPlan(n, n, 60, video=True, start_ms=0) for n in range(3)])
        # Two of three seconds, ever happier, and a last one between two emotions.
        happy = [face(1, n, n * 1000, track_id=0, happy=n / 100) for n in range(50, 100) if n % 3]
        tied = face(1, 120, 120_000, track_id=0, happy=0.5, angry=0.5)
        frames = [frame(1, row["frame_index"], row["time_ms"], 1) for row in (*happy, tied)]
        complete(session, take(session, 1), frames, [*happy, tied])
        complete(session, take(session, 2), [frame(2, 0, 0, 1)], [face(2, 0, 0, track_id=0, sad=1.0)])
        complete(session, take(session, 3), [frame(3, 0, 0, 0)], [])
    with writing(database) as session:
        assert close_job(session, job_id)
        claim = take_stream(session, new_stream(session, "lobby"))
        first, second = (hour(session, claim, THREE + timedelta(days=day)).media_id for day in range(2))
        frames = [frame(first, 0, 0, 1), frame(first, 1, 1000, 3), frame(first, 2, 60_000, 0), frame(second, 0, 0, 0)]
        faces = [face(first, 0, 0, happy=1.0), *(face(first, 1, 1000, n, sad=1.0) for n in range(3))]
        append_stream(session, claim, 0, frames=frames, faces=faces, events=[], next_track_id=0)

    def answer(title: str) -> list[tuple[Any, ...]]:
        with reading(database) as session:
            return [tuple(map(plain, row)) for row in session.execute(text(queries()[title]))]

    minutes = [(CALM, 0, 1, "sad"), (CALM, 0, 7, "happy"), (CALM, 1, 26, "happy"), (CALM, 2, 1, "angry")]
    assert sorted(answer("The dominant emotion of each minute")) == minutes
    assert answer("The longest happy span of each track") == [(CALM, 0, 50, 49)]
    assert answer("The share of the time without a face")[2] == ("/srv/calm-02.mp4", 100)
    assert answer("Groups of files compared by their names") == [("calm", 3, 35, 71, 4)]
    assert [row[1] for row in answer("The most negative files")] == [1, 34]
    assert answer("A mean that glides over five seconds")[0] == (CALM, 55, 55)
    assert answer("The busiest minutes of a stream")[0] == ("2026-05-01 15:00:00", 4, 25)
    assert answer("A stream by the hour of the day") == [(15, 2, 4, 25)]
