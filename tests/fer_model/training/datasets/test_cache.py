import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_model.errors import TrainingDataError, TrainingError
from fer_model.training.datasets.cache import cached
from fer_model.training.datasets.labelled import LabelledFaces

FACES = LabelledFaces(
    np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8),
    np.arange(5),
    np.full((5, 7), 1 / 7, np.float32),
)


class Decoder:
    """Gives faces and counts how often."""

    def __init__(self, faces: LabelledFaces = FACES) -> None:
        self.faces, self.calls = faces, 0

    def __call__(self) -> LabelledFaces:
        self.calls += 1
        return self.faces


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.csv"
    path.write_text("some content")
    return path


@pytest.mark.parametrize("faces", [FACES, replace(FACES, votes=None)])
def test_faces_are_decoded_once_and_mapped_into_memory(source: Path, tmp_path: Path, faces: LabelledFaces) -> None:
    decode = Decoder(faces)
    for _ in range(3):
        kept = cached(tmp_path / "cache", [source], ["a", 1], decode)
        assert isinstance(kept.images, np.memmap)
        np.testing.assert_array_equal(kept.images, faces.images)
        np.testing.assert_array_equal(kept.labels, faces.labels)
        assert (kept.votes is None) == (faces.votes is None)
        if faces.votes is not None:
            np.testing.assert_array_equal(kept.votes, faces.votes)
    assert decode.calls == 1
    (folder,) = (tmp_path / "cache" / "training-data").iterdir()
    expected = {"images.npy", "labels.npy"} | (set() if faces.votes is None else {"votes.npy"})
    assert {path.name for path in folder.iterdir()} == expected


def test_without_a_cache_folder_nothing_is_kept(source: Path, tmp_path: Path) -> None:
    assert cached(None, [source], [], Decoder()) is FACES
    assert list(tmp_path.iterdir()) == [source]


def test_writing_into_a_mapped_array_leaves_the_file_alone(source: Path, tmp_path: Path) -> None:
    cached(tmp_path, [source], [], Decoder()).images[:] = 0
    np.testing.assert_array_equal(cached(tmp_path, [source], [], Decoder()).images, FACES.images)


def grow(path: Path) -> None:
    path.write_text("some more content")
    os.utime(path, ns=(1, 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "size": grow,
    "time": lambda path: os.utime(path, ns=(2, 2)),
    "path": lambda path: path.rename(path.with_name("other.csv")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_source_is_decoded_again(source: Path, tmp_path: Path, change: str) -> None:
    decode = Decoder()
    os.utime(source, ns=(1, 1))
    cached(tmp_path / "cache", [source], [], decode)
    CHANGES[change](source)
    cached(tmp_path / "cache", list(tmp_path.glob("*.csv")), [], decode)
    assert decode.calls == 2


def test_other_settings_another_source_and_another_version_are_kept_apart(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, cache = Decoder(), tmp_path / "cache"
    cached(cache, [source], ["Training"], decode)
    cached(cache, [source], ["PublicTest"], decode)
    cached(cache, [source, source], ["Training"], decode)
    monkeypatch.setattr("fer_model.training.datasets.cache.VERSION", 99)
    cached(cache, [source], ["Training"], decode)
    assert decode.calls == 4 == len(list(cache.glob("training-data/*")))


def test_a_relative_path_is_the_same_source(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Decoder()
    cached(tmp_path / "cache", [source], [], decode)
    monkeypatch.chdir(tmp_path)
    cached(tmp_path / "cache", [Path(source.name)], [], decode)
    assert decode.calls == 1


def test_a_failed_decoding_leaves_nothing(source: Path, tmp_path: Path) -> None:
    def fail() -> LabelledFaces:
        raise TrainingDataError("row 7 is wrong")

    with pytest.raises(TrainingDataError, match="row 7 is wrong"):
        cached(tmp_path / "cache", [source], [], fail)
    assert not list(tmp_path.glob("cache/**/*.npy"))


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"none\.csv: cannot be read .*No such file"):
        cached(tmp_path, [tmp_path / "none.csv"], [], Decoder())


def test_a_cache_that_cannot_be_written_is_named_and_left_clean(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingError, match=r"source\.csv/training-data: the decoded faces cannot be kept there"):
        cached(source, [source], [], Decoder())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(TrainingError, match=r"cannot be kept there .*No space left"):
        cached(tmp_path / "cache", [source], [], Decoder())
    assert not list((tmp_path / "cache" / "training-data").iterdir())


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\0\x02\0{(", b"nonsense"])
def test_a_damaged_cache_is_named(source: Path, tmp_path: Path, content: bytes) -> None:
    cached(tmp_path, [source], [], Decoder())
    (images,) = tmp_path.glob("training-data/*/images.npy")
    images.write_bytes(content)
    with pytest.raises(TrainingError, match=rf"^{re.escape(str(images.parent))}: is damaged \(.*; delete this folder$"):
        cached(tmp_path, [source], [], Decoder())


def test_a_cut_off_cache_is_named(source: Path, tmp_path: Path) -> None:
    cached(tmp_path, [source], [], Decoder())
    (images,) = tmp_path.glob("training-data/*/images.npy")
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(TrainingError, match="is damaged"):
        cached(tmp_path, [source], [], Decoder())


RACER = """
import sys, time
from pathlib import Path
import numpy as np
from fer_model.training.datasets.cache import cached
from fer_model.training.datasets.labelled import LabelledFaces

folder, name = Path(sys.argv[1]), sys.argv[2]

def decode():
    (folder / f"{name}.decoding").touch()
    while len(list(folder.glob("*.decoding"))) < 2:
        time.sleep(0.005)
    return LabelledFaces(np.full((2000, 48, 48), 7, np.uint8), np.zeros(2000, np.int64))

faces = cached(folder / "cache", [folder / "source.csv"], [], decode)
assert (faces.images == 7).all() and faces.images.shape == (2000, 48, 48)
"""


def test_two_processes_that_decode_at_once_both_get_the_faces(source: Path, tmp_path: Path) -> None:
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path), name], stderr=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    for racer in racers:
        _, output = racer.communicate(timeout=120)
        assert racer.returncode == 0, output
    (folder,) = (tmp_path / "cache" / "training-data").iterdir()
    assert {path.name for path in folder.iterdir()} == {"images.npy", "labels.npy"}


def test_a_second_process_takes_what_is_there(source: Path, tmp_path: Path) -> None:
    """Another process finishes while this one still decodes."""
    other = replace(FACES, labels=FACES.labels[::-1].copy())

    def slow() -> LabelledFaces:
        cached(tmp_path, [source], [], Decoder(other))
        return FACES

    assert cached(tmp_path, [source], [], slow).labels.tolist() == other.labels.tolist()
    assert len(list((tmp_path / "training-data").iterdir())) == 1
