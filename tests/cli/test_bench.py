"""`fer-batch bench`: that it measures, not how fast this machine is."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_model.sources.images import read_picture
from tests.support.clips import write_clip
from tests.support.commands import fer_batch, succeed

STAGES = {"decode_fps", "detector_fps", "classifier_faces_per_s", "write_rows_per_s"}
RATES = STAGES | {"pipeline_fps", "auto_fps", "naive_fps"}
OTHERS = {"speedup", "auto_speedup", "auto_faces_kept", "efficiency", "device", "precision", "peak_rss_mb"}


@pytest.fixture(scope="module")
def clip(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen frames of two men."""
    small = np.asarray(cv2.resize(read_picture(str(samples / "zidane.jpg")), (320, 180)), np.uint8)
    return write_clip(tmp_path_factory.mktemp("bench") / "men.mp4", [small] * 14)


def test_bench_measures_every_stage_and_compares(clip: Path) -> None:
    figures = json.loads(succeed("bench", str(clip), "--json", "--device", "cpu").stdout)
    assert set(figures) == RATES | OTHERS
    assert all(figures[name] > 0 for name in RATES)
    assert figures["speedup"] == pytest.approx(figures["pipeline_fps"] / figures["naive_fps"], abs=0.01)
    assert figures["auto_speedup"] == pytest.approx(figures["auto_fps"] / figures["naive_fps"], abs=0.01)
    # Nothing moves in this clip.
    assert figures["auto_faces_kept"] == 1
    least = min(figures["decode_fps"], figures["detector_fps"])
    assert figures["efficiency"] == pytest.approx(figures["pipeline_fps"] / least, abs=0.01)
    assert figures["device"] == "cpu" and "8-bit" in figures["precision"]
    assert 100 < figures["peak_rss_mb"] < 4000


def test_what_is_no_video_is_named_before_anything_is_prepared(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    run = fer_batch("bench", str(text), FER_CACHE_DIR=str(tmp_path / "cache"))
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.strip().splitlines()[-1].endswith(f"{text}: is not a video (unknown format)")
    assert not (tmp_path / "cache").exists()
