"""`fer-batch run` as a user types it: results, clean-up, bad files."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_model.types import EMOTIONS
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.commands import fer_batch
from tests.support.databases import query
from tests.support.media import huge_png
from tests.support.processes import children_of

RUN = (sys.executable, "-P", "-m", "cli", "run")


def start_run(marker: str, database: Path, *paths: Path) -> "subprocess.Popen[str]":
    """A run in the background, which can be interrupted."""
    return subprocess.Popen(
        [*RUN, *map(str, paths), "--db", f"sqlite:///{database}"],
        env={**os.environ, "FER_TEST_MARKER": marker},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in a shell's background, Ctrl-C would be ignored by all that they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def wait_until_working(database: Path, process: "subprocess.Popen[str]") -> None:
    """Returns when a shard has reported frames."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if database.exists():
            with closing(sqlite3.connect(database, timeout=10)) as connection:
                tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'shards'").fetchone()[0]
                if tables and connection.execute("SELECT count(*) FROM shards WHERE frames > 0").fetchone()[0]:
                    return
        time.sleep(0.1)
    pytest.fail(f"the run never began to work: {process.communicate()[1] if process.poll() is not None else ''}")


def test_photographs_and_a_clip_become_a_timeline(samples: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    run = fer_batch("run", str(samples), "--db", url, FER_TEST_MARKER=str(tmp_path))
    assert run.returncode == 0, run.stderr
    for word in ("files", "frames per second", "clip.mp4", "zidane.jpg", str(tmp_path / "results.db"), "SELECT"):
        assert word in run.stdout
    assert children_of(str(tmp_path)) == [], "everything that was started must be stopped"
    assert query(url, "SELECT state, error FROM jobs") == [("done", None)]
    assert query(url, "SELECT count(*), count(DISTINCT media_id) FROM frames") == [(202, 3)]
    assert query(url, "SELECT count(*) FROM faces JOIN media ON media.id = media_id WHERE uri LIKE '%zidane.jpg'") == [
        (2,)
    ]
    times = query(url, "SELECT frame_index, time_ms FROM frames JOIN media ON media.id = media_id "
                       "WHERE uri LIKE '%clip.mp4' ORDER BY frame_index")  # fmt: skip
    assert times == [(index, index * 40) for index in range(200)]
    sums = query(url, f"SELECT min({'+'.join(EMOTIONS)}), max({'+'.join(EMOTIONS)}) FROM faces")
    assert sums[0] == pytest.approx((1, 1), abs=1e-6)
    assert query(url, "SELECT count(*) FROM tracks") > [(0,)]
    assert query(url, "SELECT count(*) FROM emotion_timeline") == [(8 + 2,)]


def test_ctrl_c_stops_everything_and_cancels_the_job(samples: Path, tmp_path: Path) -> None:
    database = tmp_path / "results.db"
    # Of one picture, which is encoded fast; the detector looks at each.
    clip = write_clip(tmp_path / "long.mp4", repeat(noise_picture(640, 360), 3000))
    process = start_run(str(tmp_path), database, samples / "zidane.jpg", clip)
    wait_until_working(database, process)
    assert len(children_of(str(tmp_path))) >= 4, "the run, Redis, the worker and its child"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (1, 130) and "Traceback" not in err, err
    assert children_of(str(tmp_path)) == []
    ((state,),) = query(f"sqlite:///{database}", "SELECT state FROM jobs")
    assert state == "cancelled"
    assert query(f"sqlite:///{database}", "SELECT count(*) FROM shards WHERE state IN ('pending', 'running')") == [(0,)]


def test_a_worker_that_dies_at_once_ends_the_run_with_its_words(samples: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    (tmp_path / "manifest.json").write_text("{}")
    run = fer_batch("run", str(samples), "--db", url, FER_TEST_MARKER=str(tmp_path), FER_MODELS_DIR=str(tmp_path))
    assert run.returncode == 1
    assert "worker stopped" in run.stderr and "manifest.json" in run.stderr and "Traceback" not in run.stderr
    assert children_of(str(tmp_path)) == []
    assert query(url, "SELECT state FROM jobs") == [("cancelled",)]


def test_every_bad_file_fails_alone_with_one_sentence(samples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "good.jpg").write_bytes((samples / "zidane.jpg").read_bytes())
    (folder / "empty.jpg").touch()
    (folder / "empty.mp4").touch()
    (folder / "text.jpg").write_text("not a picture\n" * 20)
    clip = (samples / "clip.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(clip[: len(clip) // 2])
    (folder / "cut.jpg").write_bytes((samples / "bus.jpg").read_bytes()[:20_000])
    audio_only(folder / "audio.mp4")
    huge_png(folder / "huge.png", 20_000)
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(folder / "pixel.png")
    url = f"sqlite:///{tmp_path / 'results.db'}"
    run = fer_batch("run", str(folder), str(tmp_path / "missing.mov"), "--db", url)
    assert run.returncode == 0, run.stderr
    media = {Path(uri).name: (state, error) for uri, state, error in query(url, "SELECT uri, state, error FROM media")}
    expected = {
        "empty.jpg": "empty",
        "empty.mp4": "empty",
        "text.jpg": "not a picture",
        "truncated.mp4": "truncated",
        "cut.jpg": "truncated",
        "audio.mp4": "no video",
        "huge.png": "20,000",
        "missing.mov": "does not exist",
    }
    assert {name for name, (state, _) in media.items() if state == "done"} == {"good.jpg", "pixel.png"}
    for name, words in expected.items():
        state, error = media[name]
        assert state == "failed" and words in error, (name, error)
        assert error.startswith("/") and "\n" not in error and name in error
        assert error in run.stderr
    assert query(url, "SELECT state, error FROM jobs") == [("done", "8 of 10 files failed")]
    assert query(url, "SELECT count(*) FROM faces") == [(2,)]


def audio_only(path: Path) -> None:
    """An mp4 with sound and no picture."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_what_a_killed_run_started_ends_too(samples: Path, tmp_path: Path) -> None:
    database = tmp_path / "results.db"
    clip = write_clip(tmp_path / "long.mp4", panning_frames(noise_picture(1280, 720), 300, size=(640, 360)))
    process = start_run(str(tmp_path), database, clip)
    wait_until_working(database, process)
    process.kill()
    process.communicate()
    until = time.monotonic() + 60
    while children_of(str(tmp_path)) and time.monotonic() < until:
        time.sleep(0.2)
    assert children_of(str(tmp_path)) == []


def test_a_killed_worker_process_loses_no_row_and_writes_none_twice(samples: Path, tmp_path: Path) -> None:
    """Its shard is requeued at once, and done from its beginning."""
    database = tmp_path / "results.db"
    process = start_run(str(tmp_path), database, samples)
    wait_until_working(database, process)
    (child,) = [pid for pid in children_of(str(tmp_path)) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(child, signal.SIGKILL)
    _, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    url = f"sqlite:///{database}"
    assert query(url, "SELECT count(*), count(DISTINCT media_id) FROM frames") == [(202, 3)]
    assert query(url, "SELECT state, max(attempts) FROM shards GROUP BY state") == [("done", 2)]
    assert query(url, "SELECT sum(frames), sum(faces) FROM shards") == [
        (202, query(url, "SELECT count(*) FROM faces")[0][0])
    ]
