"""Compares fer-batch with peers whose weights are in their packages: `fer` (PyPI), `human` and `face-api` (npm).

    python -m benchmarks.peers CLIP [REPETITIONS] [FER2013]

`fer` is installed into a virtual environment (TensorFlow, 1 GB), the others by `npm` (0.4 GB), all in a temporary
folder. Peers get the clip's frames from memory; fer-batch also decodes them and writes its rows. Printed are frames per
second, the share of frames with a face, and how often the emotion of the largest face is fer-batch's. The first
repetition is a warm-up. With FER2013, `fer2013.csv` or its .xz: the accuracy of each emotion network on PublicTest.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_model.analysis.ensemble import combine
from fer_model.engines import Engine, load_engine
from fer_model.networks.manifest import ModelSet
from fer_model.sources import open_source
from fer_model.training.datasets.fer2013 import read_fer2013
from fer_model.types import EMOTIONS, Image
from workers.models import store
from workers.settings import Settings, writable_cache

FER = "fer==25.10.3"
PACKAGES = ("tensorflow-cpu", "opencv-contrib-python-headless", "moviepy<2", "pandas", "requests", "tqdm")
MORE = ("ffmpeg-python", "Pillow", "matplotlib", "setuptools<81")
HUMAN, FACE_API = "@vladmandic/human@3.3.6", "@vladmandic/face-api@1.7.15"
TENSORFLOW_JS = tuple(f"@tensorflow/tfjs{part}@4.22.0" for part in ("", "-core", "-converter", "-backend-wasm"))
HERE = Path(__file__).parent

Answers = list[str | None]
"""The emotion of each picture's largest face; None without a face."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Commands that read pictures: frames, and the faces of FER-2013."""

    name: str
    frames: Sequence[str] | None
    faces: Sequence[str]


def main(clip: Path, repetitions: int = 3, fer2013: Path | None = None) -> None:
    settings = Settings()
    models = store.shipped(settings.models_dir)
    engine = load_engine(models, settings.device, writable_cache(settings.cache_dir))
    rate, ours = _ours(clip, repetitions, engine, settings)
    _print("fer-batch", rate, ours, ours)
    images, labels = _public_test(fer2013) if fer2013 else (np.zeros((0, 48, 48, 3), np.uint8), [])
    if fer2013:
        _print_accuracy("fer-batch", _emotions(engine, models, images), labels)
    frames = np.stack([frame.image for frame in open_source(str(clip), kind="video")])
    with tempfile.TemporaryDirectory() as folder:
        for peer in _peers(Path(folder)):
            if peer.frames:
                rounds = _run(peer.frames, frames, repetitions + 1)
                rate = statistics.median(len(frames) / seconds for seconds, _ in rounds[1:])
                _print(peer.name, rate, rounds[-1][1], ours)
            if fer2013:
                _print_accuracy(peer.name, _run(peer.faces, images, 1)[0][1], labels)


def _peers(folder: Path) -> Iterator[Peer]:
    """Installs each before it is run."""
    python = [_install_fer(folder), str(HERE / "peer_fer.py")]
    yield Peer(f"{FER}, Haar cascade, its 8-bit classifier", [*python, "frames"], [*python, "faces"])
    if not shutil.which("npm"):
        print("npm is missing: install Node for human and face-api (apt-get install nodejs npm)")
        return
    npm = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run([*npm, HUMAN, FACE_API, *TENSORFLOW_JS], check=True, capture_output=True)
    node = ["node", "--max-old-space-size=4096", str(HERE / "peer_npm.cjs")]
    yield Peer(HUMAN, [*node, "human", str(folder)], [*node, "human-faces", str(folder)])
    yield Peer(FACE_API, None, [*node, "face-api-faces", str(folder)])


def _install_fer(folder: Path) -> str:
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # Without its dependencies: plain OpenCV needs libGL, and only its second detector needs torch.
    subprocess.run([*pip, "--no-deps", FER], check=True, capture_output=True)
    subprocess.run([*pip, *PACKAGES, *MORE], check=True, capture_output=True)
    return python


def _run(command: Sequence[str], pictures: Image, repetitions: int) -> list[tuple[float, Answers]]:
    """Seconds and answers of each repetition over (N, H, W, 3)."""
    run = subprocess.run(command, input=_pictures(pictures, repetitions), capture_output=True)
    if run.returncode:
        sys.exit(f"{command[1:]} failed: {run.stderr.decode().strip().splitlines()[-1]}")
    lines = [json.loads(line) for line in run.stdout.decode().splitlines() if line.startswith("{")]
    return [(line["seconds"], line["answers"]) for line in lines]


def _pictures(pictures: Image, repetitions: int) -> bytes:
    """What a peer reads: a line of JSON (numbers of pictures and repetitions, width, height), then the RGB bytes."""
    count, height, width = pictures.shape[:3]
    head = {"count": count, "height": height, "width": width, "repetitions": repetitions}
    return json.dumps(head).encode() + b"\n" + pictures.tobytes()


def _ours(clip: Path, repetitions: int, engine: Engine, settings: Settings) -> tuple[float, Answers]:
    from sqlalchemy import func, select

    from results.database import connect, reading, upgrade
    from results.tables import Face, Frame
    from workers.diagnosis.benchmark import work_through

    rates = []
    with tempfile.TemporaryDirectory() as folder:
        upgrade(url := f"sqlite:///{folder}/results.db")
        database = connect(url)
        for _ in range(repetitions + 1):
            began = time.perf_counter()
            _, frames = work_through(database, settings, clip, engine)
            rates.append(frames / (time.perf_counter() - began))
        with reading(database) as session:
            last = select(func.max(Frame.media_id)).scalar_subquery()
            answers: Answers = [None] * session.scalars(select(func.count()).where(Frame.media_id == last)).one()
            size = (Face.x2 - Face.x1) * (Face.y2 - Face.y1)
            # The largest of a frame comes last.
            for index, emotion in session.execute(
                select(Face.frame_index, Face.emotion).where(Face.media_id == last).order_by(size)
            ):
                answers[index] = emotion
        database.dispose()
    return statistics.median(rates[1:]), answers


def _public_test(path: Path) -> tuple[Image, list[str]]:
    """The faces (N, 48, 48, 3) as RGB, and their labels."""
    faces = read_fer2013(path, "PublicTest")
    return np.repeat(faces.images[..., None], 3, axis=3), [EMOTIONS[label] for label in faces.labels]


def _emotions(engine: Engine, models: ModelSet, faces: Image) -> Answers:
    outputs = engine.classify(np.ascontiguousarray(faces[..., 0]))
    return [EMOTIONS[best] for best in combine(outputs, models.shares, models.temperature).argmax(1)]


def _print(name: str, rate: float, answers: Answers, ours: Answers) -> None:
    both = [(one, other) for one, other in zip(answers, ours, strict=True) if one and other]
    share, agreed = sum(map(bool, answers)) / len(answers), sum(one == other for one, other in both) / max(1, len(both))
    print(f"{name}: {rate:.1f} frames a second, a face in {share:.1%} of the frames, ", end="")
    print(f"the emotion of fer-batch in {agreed:.1%} of those with a face for both", flush=True)


def _print_accuracy(name: str, answers: Answers, labels: Sequence[str]) -> None:
    share = sum(one == other for one, other in zip(answers, labels, strict=True)) / len(labels)
    print(f"{name}: {share:.1%} of {len(labels):,} faces of PublicTest as labelled", flush=True)


if __name__ == "__main__":
    words = dict(enumerate(sys.argv))
    main(Path(words[1]), int(words.get(2, 3)), Path(words[3]) if 3 in words else None)
