"""A URL's query may hold a signature: workers use it, and it appears nowhere."""

import json
import logging
from pathlib import Path

import pytest

from fer_model.sources.images import read_picture
from tests.support.commands import fer_batch
from tests.support.databases import query
from tests.support.servers import FileServer, raw_server, serving

SIGNATURE = "X-Amz-Signature=s3cr3t"

SHOWN = [
    ("status", "JOB"),
    ("status", "JOB", "--json"),
    ("jobs",),
    ("jobs", "--json"),
    ("timeline", "JOB"),
    ("timeline", "JOB", "--format", "json"),
    ("timeline", "JOB", "--format", "csv"),
    ("export", "JOB", "--format", "csv"),
    ("export", "JOB", "--format", "jsonl"),
    ("export", "JOB", "--format", "parquet", "-o", "OUT/faces.parquet"),
    ("export", "JOB", "--format", "srt", "-o", "OUT/subtitles"),
    ("report", "JOB", "-o", "OUT/report.html"),
    ("annotate", "JOB", "-o", "OUT/annotated"),
]


@pytest.mark.usefixtures("cache")
def test_a_signature_is_used_and_never_shown(samples: Path, tmp_path: Path) -> None:
    names = ("zidane.jpg", "clip.mp4")
    files = {f"/{name}?{SIGNATURE}": (samples / name).read_bytes() for name in names}
    with serving(FileServer(files)) as server:
        environment = {
            "FER_DATABASE_URL": f"sqlite:///{tmp_path / 'results.db'}",
            "FER_MEDIA_ROOTS": f"{server.url}/",
            "FER_DEVICE": "cpu",
        }
        urls = [f"{server.url}/{name}?{SIGNATURE}" for name in (*names, "gone.jpg", "gone.mp4", "page")]
        run = fer_batch("run", *urls, "--every", "10", "--shard-seconds", "1", **environment)
        assert run.returncode == 0, run.stderr
        assert all(path.endswith(SIGNATURE) for path, _ in server.requests)
        rows = query(environment["FER_DATABASE_URL"], "SELECT job_id, uri, query, state FROM media ORDER BY position")
        assert [(uri, signature, state) for _, uri, signature, state in rows] == [
            *((f"{server.url}/{name}", SIGNATURE, "done") for name in names),
            *((f"{server.url}/gone.{suffix}", SIGNATURE, "failed") for suffix in ("jpg", "mp4")),
            (f"{server.url}/page", SIGNATURE, "failed"),
        ]
        output = run.stdout + run.stderr
        (tmp_path / "out").mkdir()
        for words in SHOWN:
            filled = [word.replace("JOB", rows[0][0]).replace("OUT", str(tmp_path / "out")) for word in words]
            shown = fer_batch(*filled, **environment)
            assert shown.returncode == 0, shown.stderr
            output += shown.stdout + shown.stderr
    assert f"{server.url}/gone.mp4: does not exist" in output
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out/annotated").iterdir()} == {0o600}
    made = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(made) > 4
    assert not any("s3cr3t" in path.name or b"s3cr3t" in path.read_bytes() for path in made)
    assert "s3cr3t" not in output
    assert "s3cr3t" not in json.dumps(query(environment["FER_DATABASE_URL"], "SELECT options, name, error FROM jobs"))


def test_a_server_cannot_have_it_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    head = b"HTTP/1.1 200 OK\r\nno header at all\r\nContent-Length: 1\r\n\r\nx"
    with raw_server(lambda request: [head]) as url, pytest.raises(Exception, match=r"a\.jpg: is not a picture"):
        read_picture(f"{url}/a.jpg?{SIGNATURE}", [f"{url}/"])
    assert "s3cr3t" not in caplog.text
