"""Subtitles: the emotion of each track, and from when to when."""

from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine as Database

from results.database import reading, writing
from results.plans import MediaPlan, ShardPlan
from results.read.face_filter import FaceFilter
from results.read.subtitles import Cue, Span, cues, spans, subtitles
from results.shards import complete
from tests.support.rows import face, frame, new_job, take


def film(database: Database, shown: dict[int, dict[int, str]], step_ms: int = 100) -> str:
    """A job of one video: frame -> track -> emotion."""
    last = max(shown)
    faces = [
        face(1, n, n * step_ms, place, track_id=track, **{emotion: 1.0})
        for n, tracks in shown.items()
        for place, (track, emotion) in enumerate(tracks.items())
    ]
    frames = [frame(1, n, n * step_ms, len(shown.get(n, {}))) for n in range(last + 1)]
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("film.mp4", "video")], [ShardPlan(0, 0, last, video=True)])
        complete(session, take(session, 1), frames, faces)
    return job_id


def test_a_span_lasts_while_a_track_shows_one_emotion(database: Database) -> None:
    shown = {n: {0: "happy" if n < 5 else "sad"} for n in range(10)} | {9: {0: "sad", 3: "fear"}}
    # Half a second out of sight, which is bridged; and two seconds, which are not.
    shown |= {n: {0: "sad"} for n in (*range(15, 18), *range(38, 40))}
    job_id = film(database, shown)
    with reading(database) as session:
        found = spans(session, job_id, 1, FaceFilter())
    assert found == [
        Span(0, 500, 0, "happy"),
        Span(500, 1800, 0, "sad"),
        Span(900, 1000, 3, "fear"),
        Span(3800, 4000, 0, "sad"),
    ]


def test_a_span_ends_with_the_video_and_when_the_next_frame_was_looked_at(database: Database) -> None:
    """A frame every 40 ms, a rest of an hour, and one more frame at the end."""
    times = [0, 40, 80, 90, 3_600_000]
    shown = [face(1, n, time_ms, track_id=n // 3, happy=1.0) for n, time_ms in enumerate(times)]
    with writing(database) as session:
        medium = MediaPlan("film.mp4", "video", duration_ms=3_600_010)
        job_id = new_job(session, [medium], [ShardPlan(0, 0, 5, video=True)])
        complete(session, take(session, 1), [frame(1, n, time_ms, 1) for n, time_ms in enumerate(times)], shown)
    with reading(database) as session:
        found = spans(session, job_id, 1, FaceFilter())
    assert found == [
        Span(0, 90, 0, "happy"),
        Span(90, 130, 1, "happy"),
        Span(3_600_000, 3_600_010, 1, "happy"),
    ]


def test_the_only_frame_is_shown_as_long_as_the_video(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("film.mp4", "video", duration_ms=40)], [ShardPlan(0, 0, 1, video=True)])
        complete(session, take(session, 1), [frame(1, 0, 0, 1)], [face(1, 0, 0, track_id=0, sad=1.0)])
    with reading(database) as session:
        assert spans(session, job_id, 1, FaceFilter()) == [Span(0, 40, 0, "sad")]


def test_cues_do_not_overlap_and_name_every_track() -> None:
    found = list(
        cues(
            [Span(0, 500, 0, "happy"), Span(200, 900, 1, "sad"), Span(500, 700, 0, "fear"), Span(2000, 2100, 1, "sad")]
        )
    )
    assert found == [
        Cue(0, 200, ("#0 happy",)),
        Cue(200, 500, ("#0 happy", "#1 sad")),
        Cue(500, 700, ("#0 fear", "#1 sad")),
        Cue(700, 900, ("#1 sad",)),
        Cue(2000, 2100, ("#1 sad",)),
    ]
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("srt", "1\n00:00:00,000 --> 00:00:00,500\n#0 happy\n\n2\n00:00:00,500 --> 00:00:01,000\n#0 sad\n\n"),
        ("vtt", "WEBVTT\n\n1\n00:00:00.000 --> 00:00:00.500\n#0 happy\n\n2\n00:00:00.500 --> 00:00:01.000\n#0 sad\n\n"),
    ],
)
def test_both_formats(database: Database, style: str, expected: str) -> None:
    job_id = film(database, {n: {0: "happy" if n < 5 else "sad"} for n in range(10)})
    with reading(database) as session:
        assert "".join(subtitles(session, job_id, 1, style, FaceFilter())) == expected


def test_an_hour_has_its_own_digits(database: Database) -> None:
    job_id = film(database, {0: {0: "happy"}, 1: {0: "happy"}}, step_ms=3_723_004)
    with reading(database) as session:
        text = "".join(subtitles(session, job_id, 1, "srt", FaceFilter()))
    assert text == "1\n00:00:00,000 --> 02:04:06,008\n#0 happy\n\n"


def test_a_video_without_faces_has_none(database: Database) -> None:
    with writing(database) as session:
        job_id = new_job(session, [MediaPlan("film.mp4", "video")], [ShardPlan(0, 0, 1, video=True)])
        complete(session, take(session, 1), [frame(1, 0, 0, 0)], [])
    with reading(database) as session:
        assert "".join(subtitles(session, job_id, 1, "vtt", FaceFilter())) == "WEBVTT\n\n"


def test_players_read_them(database: Database, tmp_path: Path) -> None:
    import av

    job_id = film(database, {n: {0: "happy" if n < 5 else "sad"} for n in range(10)})
    for style in ("srt", "vtt"):
        path = tmp_path / f"film.{style}"
        with reading(database) as session:
            path.write_text("".join(subtitles(session, job_id, 1, style, FaceFilter())))
        with av.open(str(path)) as container:
            texts = [(packet.pts, bytes(packet).decode()) for packet in container.demux() if packet.size]
        assert texts == [(0, "#0 happy"), (500, "#0 sad")]
