"""Exports have the rows of the table in every format, in constant memory."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import null, select, text

from results import read_faces
from results.database import reading, writing
from results.emotions import EMOTIONS, affect
from results.errors import UnknownJobError
from results.plans import MediaPlan, ShardPlan
from results.read import exports
from results.read.exports import COLUMNS, export_faces
from results.read.face_filter import FaceFilter
from results.shards import complete
from results.tables import Face, Media
from tests.support.excel import read_excel
from tests.support.rows import face, frame, new_job, take

MEDIA = [MediaPlan("/srv/film, the.mp4", "video"), MediaPlan("=cmd.jpg", "image")]


@pytest.fixture
def job(database: Database) -> str:
    """A video with two faces in each of 30 frames, and a photograph with one that has no track."""
    frames = [frame(1, n, n * 40, 2) for n in range(30)]
    faces = [
        face(1, n, n * 40, who, track_id=who, happy=n / 30, sad=1 - n / 30) | {"quality": n / 30}
        for n in range(30)
        for who in (0, 1)
    ]
    with writing(database) as session:
        job_id = new_job(session, MEDIA, [ShardPlan(0, 0, 30, video=True), ShardPlan(1, 1, 1)])
        complete(session, take(session, 1), frames, faces)
        complete(session, take(session, 2), [frame(2, 0, 0, 1)], [face(2, 0, 0, fear=1.0)])
    return job_id


def expected(database: Database) -> list[tuple[Any, ...]]:
    others: dict[str, Any] = {"uri": Media.uri, "at": null()}
    others |= {label.name: label for label in affect([Face.__table__.c[name] for name in EMOTIONS])}
    columns = [others[name] if name in others else Face.__table__.c[name] for name in COLUMNS]
    order = (Face.media_id, Face.frame_index, Face.face_index)
    with reading(database) as session:
        found = select(*columns).join(Media, Media.id == Face.media_id).order_by(*order)
        return [tuple(row) for row in session.execute(found)]


def exported(database: Database, job_id: str, style: str, path: Path, **options: Any) -> Path:
    with reading(database) as session:
        export_faces(session, job_id, style, path, **{"face_filter": FaceFilter(), **options})
    return path


@pytest.mark.parametrize("style", ["csv", "jsonl", "parquet", "xlsx"])
def test_every_format_holds_every_face(database: Database, job: str, tmp_path: Path, style: str) -> None:
    path = exported(database, job, style, tmp_path / f"faces.{style}")
    found = [tuple(row[name] for name in COLUMNS) for row in read(path, style)]
    assert len(found) == 61
    # A spreadsheet's numbers have fifteen digits.
    for row, wanted in zip(found, expected(database), strict=True):
        typed = tuple(pytest.approx(v) if type(v) is float else v for v in wanted)
        assert row == (typed if style == "xlsx" else wanted)


def read(path: Path, style: str) -> list[dict[str, Any]]:
    if style == "parquet":
        return polars.read_parquet(path).to_dicts()
    if style == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    rows = csv.DictReader(io.StringIO(path.read_text())) if style == "csv" else read_excel(path)
    return [{name: value_of(name, row.get(name)) for name in COLUMNS} for row in rows]


def value_of(name: str, value: str | None) -> str | int | float | None:
    if name in exports.TEXTS or value in (None, ""):
        return value or None
    return int(value) if name in exports.WHOLE else float(value)


def test_a_sheet_that_is_full_goes_on_in_the_next(
    database: Database, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "EXCEL_ROWS", 25)
    found = read_excel(exported(database, job, "xlsx", tmp_path / "faces.xlsx"))
    assert len(found) == 61 and found[0]["uri"] == MEDIA[0].uri and found[-1]["uri"] == MEDIA[1].uri


def test_one_medium_and_only_faces_that_count(database: Database, job: str, tmp_path: Path) -> None:
    one = exported(database, job, "csv", tmp_path / "one.csv", media_id=2)
    assert [row["emotion"] for row in read(one, "csv")] == ["fear"]
    good = exported(database, job, "parquet", tmp_path / "good.parquet", face_filter=FaceFilter(min_quality=0.5))
    assert polars.read_parquet(good)["frame_index"].to_list() == [n for n in range(15, 30) for _ in (0, 1)] + [0]
    smooth = exported(database, job, "parquet", tmp_path / "smooth.parquet", face_filter=FaceFilter(smooth_s=0.2))
    smoothed = polars.read_parquet(smooth).row(20, named=True)
    assert smoothed["happy"] == pytest.approx(10 / 30)
    assert smoothed["valence"] == pytest.approx((10 * 0.81 - 20 * 0.63) / 30)
    assert smoothed["arousal"] == pytest.approx((10 * 0.51 - 20 * 0.27) / 30)


@pytest.mark.parametrize("style", ["csv", "jsonl", "parquet", "xlsx"])
def test_a_job_without_faces_gives_a_file_without_rows(database: Database, tmp_path: Path, style: str) -> None:
    with writing(database) as session:
        job_id = new_job(session, MEDIA, [])
    assert read(exported(database, job_id, style, tmp_path / f"none.{style}"), style) == []
    if style in ("csv", "parquet"):
        columns = polars.read_parquet if style == "parquet" else polars.read_csv
        assert columns(tmp_path / f"none.{style}").columns == list(COLUMNS)


def test_faces_as_a_frame_in_a_notebook(database: Database, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = database.url.render_as_string(hide_password=False)
    frame = read_faces(job, database=url)
    assert frame.columns == list(COLUMNS) and frame.rows() == expected(database)
    monkeypatch.setenv("FER_DATABASE_URL", url)
    assert read_faces().equals(frame) and read_faces(job[-4:]).equals(frame)
    assert read_faces(min_quality=0.5)["frame_index"].min() == 0 and len(read_faces(min_quality=0.9)) < 61
    with pytest.raises(UnknownJobError):
        read_faces("19990101")


# `ru_maxrss` would begin with what the process had that made this one.
MANY = """
import re, sys
from pathlib import Path
from results.database import connect, reading
from results.read.exports import export_faces
from results.read.face_filter import FaceFilter
with reading(connect(sys.argv[1])) as session:
    export_faces(session, sys.argv[2], sys.argv[3], sys.argv[4], face_filter=FaceFilter())
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


MANY_ROWS = f"""
INSERT INTO faces (media_id, frame_index, face_index, shard_id, time_ms, track_id, x1, y1, x2, y2, detection_score,
                   emotion, confidence, {", ".join(EMOTIONS)}, quality)
WITH RECURSIVE counted(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < :rows)
SELECT media_id, n, 0, id, n * 40, 0, 1, 2, 3, 4, 0.9, 'happy', 0.5, {", ".join("n / 1e6" for _ in EMOTIONS)}, 0.5
FROM shards CROSS JOIN counted WHERE job_id = :job
"""


@pytest.mark.parametrize("style", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_faces(database: Database, tmp_path: Path, style: str) -> None:
    url = database.url.render_as_string(hide_password=False)
    peaks = []
    for rows in (60_000, 240_000):
        with writing(database) as session:
            job_id = new_job(session, [MediaPlan("film.mp4", "video")], [ShardPlan(0, 0, 1, video=True)])
            session.execute(text(MANY_ROWS), {"rows": rows, "job": job_id})
        command = [sys.executable, "-c", MANY, url, job_id, style, str(tmp_path / "faces")]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    # 180,000 rows more, which are 90 MB as Python objects.
    assert peaks[1] - peaks[0] < 30_000, peaks
