"""`export` on a job whose rows are known, and what it and `timeline` have in common."""

import csv
import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import update

from results.database import writing
from results.read.exports import COLUMNS
from results.tables import Media
from tests.support.answers_job import add_job, answered
from tests.support.commands import ROOT
from tests.support.excel import read_excel


def test_csv_and_jsonl_go_to_stdout(database: Database) -> None:
    add_job(database)
    found = list(csv.DictReader(io.StringIO(answered(database, "export", "--format", "csv").stdout)))
    assert len(found) == 81 and list(found[0]) == list(COLUMNS)
    lines = answered(database, "export", "--format", "jsonl", "--min-confidence", "0.8").stdout.splitlines()
    assert len(lines) == 40 and {json.loads(line)["track_id"] for line in lines} == {0}


@pytest.mark.parametrize("style", ["csv", "jsonl", "parquet", "xlsx"])
def test_a_file_for_the_job_or_for_each_medium(database: Database, tmp_path: Path, style: str) -> None:
    add_job(database)
    result = answered(database, "export", "--format", style, "-o", str(tmp_path / f"all.{style}"))
    assert result.exit_code == 0 and "81 faces" in result.stderr
    assert (tmp_path / f"all.{style}").stat().st_size > 1000
    result = answered(database, "export", "--format", style, "--each", "-o", str(tmp_path / "each"))
    names = [f"00000-interview_one.{style}", f"00001-face.{style}", f"00003-second.{style}"]
    assert result.exit_code == 0 and sorted(path.name for path in (tmp_path / "each").iterdir()) == names
    if style == "parquet":
        assert [len(polars.read_parquet(tmp_path / "each" / name)) for name in names] == [60, 1, 20]


def test_subtitles_of_each_video(database: Database, tmp_path: Path) -> None:
    add_job(database)
    refused = answered(database, "export", "--format", "srt")
    assert refused.exit_code == 2 and "--each" in refused.stderr
    assert answered(database, "export", "--format", "vtt", "--each", "-o", str(tmp_path / "each")).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "each").iterdir()) == [
        "00000-interview_one.vtt",
        "00003-second.vtt",
    ]
    text = (tmp_path / "each" / "00000-interview_one.vtt").read_text()
    assert text.startswith("WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.") and text.count("-->") == 2
    assert "#0 happy\n#1 neutral" in text and "#0 sad\n#1 neutral" in text


@pytest.mark.parametrize(("style", "suffix"), [("eaf", ".eaf"), ("textgrid", ".TextGrid"), ("boris", ".xlsx")])
def test_annotations_of_each_video(database: Database, tmp_path: Path, style: str, suffix: str) -> None:
    add_job(database)
    refused = answered(database, "export", "--format", style, "-o", str(tmp_path / "one"))
    assert refused.exit_code == 2 and "2 videos" in refused.stderr and "--each" in refused.stderr
    assert answered(database, "export", "--format", style, "--each", "-o", str(tmp_path / "each")).exit_code == 0
    names = [f"00000-interview_one{suffix}", f"00003-second{suffix}"]
    assert sorted(path.name for path in (tmp_path / "each").iterdir()) == names
    # Smoothed over a second: one change, from happy to sad, a second apart from both ends.
    content = (tmp_path / "each" / names[0]).read_bytes()
    assert style == "boris" or (content.count(b"happy"), content.count(b"sad")) == (1, 1)
    assert style != "boris" or [row["code"] for row in read_excel(tmp_path / "each" / names[0])] == [
        "happy", "neutral", "happy", "sad", "sad", "neutral",
    ]  # fmt: skip


@pytest.mark.parametrize("words", [("--format", "parquet"), ("--format", "xlsx"), ("--format", "csv", "--each"), ()])
def test_export_used_wrongly(database: Database, words: tuple[str, ...]) -> None:
    add_job(database)
    assert answered(database, "export", *words).exit_code == 2


def test_a_file_that_cannot_be_written_is_one_sentence(database: Database, tmp_path: Path) -> None:
    add_job(database)
    (folder := tmp_path / "folder.csv").mkdir()
    missing = Path(os.path.relpath(tmp_path / "missing" / "faces.csv"))
    for output, problem in (
        (missing, "its folder does not exist"),
        (folder, "is a folder; name a file in it"),
        (Path("/proc/faces.csv"), "No such file or directory"),
        (tmp_path / ("long" * 100), "File name too long"),
    ):
        result = answered(database, "export", "--format", "csv", "-o", str(output))
        assert result.exit_code == 1 and result.stderr.splitlines()[-1] == f"Error: {output}: {problem}"
    result = answered(database, "annotate", "-o", "/proc/folder")
    assert result.exit_code == 1 and "Errno" not in result.stderr
    assert "is a folder" in answered(database, "report", "-o", ".").stderr
    assert not list(tmp_path.glob("*.partial"))


def test_links_and_pipes_stay_what_they_are(database: Database, tmp_path: Path) -> None:
    add_job(database)
    (tmp_path / "real").mkdir()
    link, pipe = tmp_path / "link.csv", tmp_path / "pipe"
    link.symlink_to(tmp_path / "real" / "faces.csv")
    os.mkfifo(pipe)
    assert answered(database, "export", "--format", "csv", "-o", str(link)).exit_code == 0
    written = (tmp_path / "real" / "faces.csv").read_bytes()
    assert link.is_symlink() and written.count(b"\n") == 82
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        assert answered(database, "export", "--format", "csv", "-o", str(pipe)).exit_code == 0
        assert read.result(20) == written and pipe.is_fifo()
    link.unlink()
    link.symlink_to(link)
    assert answered(database, "export", "--format", "csv", "-o", str(link)).exit_code == 0
    assert link.read_bytes() == written, "one that leads nowhere is replaced"


@pytest.mark.parametrize("name", ["/dev/stdout", "-"])
def test_stdout_by_its_name_is_not_begun_anew(database: Database, tmp_path: Path, name: str) -> None:
    add_job(database)
    environment = {**os.environ, "FER_DATABASE_URL": database.url.render_as_string(hide_password=False)}
    export = f"{sys.executable} -P -m cli export --format csv -o {name}"
    command = f"{{ echo before; {export}; echo after; }} > {tmp_path / 'log.txt'}"
    subprocess.run(["bash", "-c", command], env=environment | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path, check=True)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert len(lines) == 84 and (lines[0], lines[-1]) == ("before", "after")
    assert [path.name for path in tmp_path.glob("-*")] == []


def test_a_file_is_named_with_its_faces_and_stdout_is_not(database: Database, tmp_path: Path) -> None:
    add_job(database)
    assert "faces" not in answered(database, "export", "--format", "csv", "-o", "-").stderr
    path = tmp_path / "faces.csv"
    words = ("export", "--format", "csv", "-o", str(path))
    assert answered(database, *words).stderr.endswith(f"{path}: 81 faces\n")


def test_a_long_name_that_is_not_latin_is_cut_by_its_bytes(database: Database, tmp_path: Path) -> None:
    add_job(database)
    with writing(database) as session:
        session.execute(update(Media).where(Media.position == 0).values(uri=f"/srv/{'日' * 82}.mp4"))
    result = answered(database, "export", "--format", "textgrid", "--each", "-o", str(tmp_path / "each"))
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "each").iterdir()) == [
        f"00000-{'日' * 53}.TextGrid",
        "00003-second.TextGrid",
    ]


@pytest.mark.parametrize("words", [("timeline",), ("export", "--format", "csv")])
def test_failed_media_are_said(database: Database, words: tuple[str, ...]) -> None:
    add_job(database)
    result = answered(database, *words)
    assert result.exit_code == 0 and "files failed; `fer-batch status" in result.stderr and "still" not in result.stderr


@pytest.mark.parametrize("words", [("timeline",), ("export", "--format", "csv")])
def test_a_job_that_still_runs_is_said_to(database: Database, words: tuple[str, ...]) -> None:
    job_id = add_job(database, finished=False)
    result = answered(database, *words)
    assert result.exit_code == 0 and f"job {job_id} is still running, 1 of 3 pieces are done" in result.stderr
    assert "interview one.mp4" in result.stdout and "second.mp4" not in result.stdout


def test_a_reader_that_stops_early_is_no_failure(database: Database) -> None:
    add_job(database)
    command = f"{sys.executable} -P -m cli export --format csv | head -n 1; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "FER_DATABASE_URL": database.url.render_as_string(hide_password=False)}
    run = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert run.stdout.startswith("uri,") and "Traceback" not in run.stderr


@pytest.mark.parametrize("words", [("export", "--format", "csv"), ("timeline", "--format", "csv")])
def test_a_reader_that_has_seen_enough_is_no_mistake(database: Database, words: tuple[str, ...]) -> None:
    add_job(database)
    command = [sys.executable, "-P", "-m", "cli", *words]
    environment = {**os.environ, "FER_DATABASE_URL": database.url.render_as_string(hide_password=False)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert process.returncode == 1 and "Error" not in errors and "BrokenPipe" not in errors, errors
