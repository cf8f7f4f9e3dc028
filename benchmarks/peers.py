"""Compares fer-batch on one clip with the package `fer` from PyPI, which includes its weights.

    python -m benchmarks.peers CLIP [REPETITIONS]

`fer` is installed into a virtual environment in a temporary folder (TensorFlow, 1 GB). Other peers download
their weights at run time. Each reads the clip with OpenCV or its own reader, and reports the share of frames
with a face; the first repetition is a warm-up.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

PACKAGES = ("tensorflow-cpu", "opencv-contrib-python-headless", "moviepy<2", "pandas", "requests", "tqdm")
MORE = ("ffmpeg-python", "Pillow", "matplotlib", "setuptools<81")
FER = "fer==25.10.3"
LOOP = """
import json, sys, time
from importlib.resources import files
import cv2
from fer.fer import FER

# OpenCV 5 does not carry this file any more; the package does.
detector = FER(cascade_file=str(files("fer") / "data" / "haarcascade_frontalface_default.xml"), mtcnn=False)
for repetition in range(int(sys.argv[2]) + 1):
    video = cv2.VideoCapture(sys.argv[1])
    frames = found = 0
    began = time.perf_counter()
    while True:
        there, picture = video.read()
        if not there:
            break
        frames += 1
        found += bool(detector.detect_emotions(picture))
    seconds = time.perf_counter() - began
    print(json.dumps({"frames": frames, "found": found, "seconds": seconds}), flush=True)
"""


def main(clip: Path, repetitions: int = 3) -> None:
    with tempfile.TemporaryDirectory() as folder:
        python = _install(Path(folder))
        _print("fer-batch, every frame", *_ours(clip, repetitions))
        run = subprocess.run([python, "-c", LOOP, str(clip), str(repetitions)], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"fer failed: {run.stderr.strip().splitlines()[-1]}")
        rounds = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
        _print(f"{FER}, Haar cascade, its 8-bit classifier", *_figures(rounds))


def _install(folder: Path) -> Path:
    venv.create(folder / "venv", with_pip=True)
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Without its dependencies: plain OpenCV needs libGL, and only its second detector needs torch.
    subprocess.run([*pip, "--no-deps", FER], check=True, capture_output=True)
    subprocess.run([*pip, *PACKAGES, *MORE], check=True, capture_output=True)
    return folder / "venv" / "bin" / "python"


def _ours(clip: Path, repetitions: int) -> tuple[float, float]:
    from sqlalchemy import func, select

    from fer_model.engines import load_engine
    from results.database import connect, reading, upgrade
    from results.tables import Frame
    from workers.diagnosis.benchmark import work_through
    from workers.models import store
    from workers.settings import Settings, writable_cache

    settings = Settings()
    engine = load_engine(store.shipped(settings.models_dir), settings.device, writable_cache(settings.cache_dir))
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        upgrade(url := f"sqlite:///{folder}/results.db")
        database = connect(url)
        for _ in range(repetitions + 1):
            began = time.perf_counter()
            frames = work_through(database, settings, clip, engine)
            rounds.append({"frames": frames, "seconds": time.perf_counter() - began})
        with reading(database) as session:
            with_face = select(func.count()).select_from(Frame).where(Frame.faces > 0)
            found = session.scalars(with_face).one() / len(rounds)
        database.dispose()
    return _figures([{**each, "found": found} for each in rounds])


def _figures(rounds: list[dict[str, Any]]) -> tuple[float, float]:
    """Frames per second (median without the first round), and the share of frames with a face."""
    rate = statistics.median(each["frames"] / each["seconds"] for each in rounds[1:])
    return rate, rounds[-1]["found"] / rounds[-1]["frames"]


def _print(name: str, rate: float, share: float) -> None:
    print(f"{name}: {rate:.1f} frames a second, a face in {share:.1%} of the frames", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:3]))
