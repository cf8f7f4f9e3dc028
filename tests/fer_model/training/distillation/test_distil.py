"""Packing, cross-fitting and a whole small run on the CPU."""

import json
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fer_model.errors import TrainingDataError
from fer_model.networks.classifiers import VARIANTS
from fer_model.networks.loading import classifier_variant, load_classifier
from fer_model.networks.manifest import read_models
from fer_model.training import distillation
from fer_model.training.__main__ import main
from fer_model.training.distillation import pack
from fer_model.training.distillation.loop import rate
from fer_model.training.distillation.pack import Faces, photographs, read_answers, read_faces, read_pack, write_pack
from fer_model.training.distillation.run import Distillation, Draw, Rows, distil, smoke


@pytest.fixture(scope="module")
def faces() -> Faces:
    """240 rows: a bright square's place is the emotion; each picture is there twice, once mirrored."""
    random = np.random.default_rng(0)
    images = random.integers(0, 80, (240, 48, 48)).astype(np.uint8)
    images = images // 8 * 4 + 20
    labels = np.arange(240) // 2 % 7
    for row, label in enumerate(labels):
        images[row, 4 + 6 * label : 10 + 6 * label, 14:34] = 220
    images[1::2] = images[::2, :, ::-1]
    votes = np.zeros((240, 10), np.int64)
    votes[:, 0] = 10
    votes[6] = [0] * 9 + [10]
    soft = np.full((240, 7), 1 / 7, np.float32)
    extra = random.integers(0, 255, (40, 64, 64)).astype(np.uint8)
    groups = np.repeat(np.arange(120), 2)
    return Faces(images, labels, soft, votes, groups, images[:70], labels[:70], extra)


def test_a_pack_comes_back(faces: Faces, tmp_path: Path) -> None:
    write_pack(faces, tmp_path)
    back = read_pack(tmp_path)
    assert np.array_equal(back.public, faces.public), "what is measured on is lossless"
    assert np.abs(back.images.astype(int) - faces.images.astype(int)).mean() < 6
    for name in ("labels", "votes", "groups", "public_labels"):
        assert np.array_equal(getattr(back, name), getattr(faces, name)), name
    assert back.extra.shape == faces.extra.shape


@pytest.mark.parametrize("name", ["rows.npz", "answers.npz", "faces.zip"])
def test_a_file_with_a_wrong_byte_is_named(faces: Faces, tmp_path: Path, name: str) -> None:
    write_pack(faces, tmp_path)
    np.savez_compressed(tmp_path / "answers.npz", training=faces.images[:, :7, 0], extra=faces.extra[:, :7, 0])
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, face in enumerate(faces.extra[:2]):
            archive.writestr(f"{number}.jpg", cv2.imencode(".jpg", face)[1].tobytes())
    read: Callable[[], object] = {
        "rows.npz": lambda: read_pack(tmp_path),
        "answers.npz": lambda: read_answers(tmp_path / name, faces),
        "faces.zip": lambda: read_faces(tmp_path / name),
    }[name]
    whole = (tmp_path / name).read_bytes()
    complaints = set()
    for place in range(0, len(whole), len(whole) // 100):
        (tmp_path / name).write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read()
        except TrainingDataError as error:
            complaints.add(str(error))
    assert len(complaints) > 1 and all(str(tmp_path) in each for each in complaints)


def test_more_than_a_hundred_files_of_pictures_keep_their_order(
    faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "TILES", 1)
    many = replace(faces, public=faces.images[:120], public_labels=faces.labels[:120])
    write_pack(many, tmp_path)
    assert np.array_equal(read_pack(tmp_path).public, many.public)


def test_a_pack_that_lost_a_file_on_its_way_is_refused(faces: Faces, tmp_path: Path) -> None:
    write_pack(faces, tmp_path)
    (tmp_path / "train-00.webp").unlink()
    with pytest.raises(SystemExit, match="has 0 of 240 pictures of 'train'; files are missing"):
        main(["distil", str(tmp_path), str(tmp_path / "out"), "--device", "cpu"])


def test_answers_to_other_faces_and_a_wrong_start_end_a_run_before_it_trains(faces: Faces, tmp_path: Path) -> None:
    write_pack(faces, tmp_path / "pack")
    np.savez(tmp_path / "answers.npz", training=np.ones((240, 7), np.float16), extra=np.ones((41, 7), np.float16))
    words = ["distil", str(tmp_path / "pack"), str(tmp_path / "out"), "--device", "cpu", "--seconds", "2", "--smoke"]
    with pytest.raises(SystemExit, match="has answers for 41 faces, and --extra are 40"):
        main([*words, "--answers", str(tmp_path / "answers.npz")])
    with pytest.raises(SystemExit, match="cuda:99 is not available"):
        main([*words, "--device", "cuda:99"])
    with pytest.raises(SystemExit, match=r"missing\.safetensors: cannot be read"):
        main([*words, "--start", "large-maps=missing.safetensors"])
    assert not (tmp_path / "out" / "answers.npz").exists(), "the teachers were not trained"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("precision face.safetensors --data missing.tar", r"Error: missing\.tar: cannot be unpacked"),
        ("closeups face.safetensors --data missing.tar", r"Error: missing\.tar: cannot be unpacked"),
        ("pack missing.csv out", r"Error: missing\.csv: cannot be read"),
        ("distil missing out", "Error: .*'missing/rows.npz'"),
        ("stability missing.zip", r"Error: missing\.zip: cannot be read"),
        ("adjust missing.safetensors out --data missing.csv", r"Error: missing\.csv: cannot be read"),
        ("distil missing out --seconds 0", "^2$"),
        ("distil missing out --share 1", "^2$"),
        ("distil missing out --pupils large-maps huge-maps", "^2$"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    words: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=reason):
        main(words.split())


def test_the_same_photograph_has_one_number_mirrored_too(faces: Faces) -> None:
    random = np.random.default_rng(1)
    smooth = np.stack([np.kron(random.integers(0, 255, (6, 6)), np.ones((8, 8))) for _ in range(20)]).astype(np.uint8)
    twice = np.concatenate((smooth, smooth[:, :, ::-1], np.clip(smooth * 0.8 + 20, 0, 255).astype(np.uint8)))
    found = photographs(twice)
    assert len(set(found.tolist())) == 20
    assert np.array_equal(found[:20], found[20:40]) and np.array_equal(found[:20], found[40:])


def test_photographs_stay_in_one_fold_and_what_is_no_face_is_left_out(faces: Faces) -> None:
    rows = Rows(faces, Distillation(1, device="cpu"))
    assert len(rows) == 239 and 6 not in rows.kept
    folds: dict[int, set[int]] = {int(group): set() for group in faces.groups[rows.kept]}
    for group, fold in zip(faces.groups[rows.kept], rows.fold.tolist(), strict=True):
        folds[int(group)].add(fold)
    assert all(len(each) == 1 for each in folds.values())
    assert sorted(torch.cat(rows.members).tolist()) == list(range(239))


def test_every_row_is_drawn_once_before_any_comes_again() -> None:
    draw = Draw(torch.arange(100, 120), 5)
    seen = []
    for _ in range(4):
        draw.refill()
        seen += draw.ready.tolist()
    assert sorted(seen) == list(range(100, 120))


def test_the_rate_rises_and_ends_at_zero() -> None:
    assert rate(0, 0.1) == 0 and rate(0.1, 0.1) == 1 and rate(1, 0.1) == pytest.approx(0, abs=1e-9)


def test_a_small_run_leaves_pupils_that_load_and_answers_for_every_row(faces: Faces, tmp_path: Path) -> None:
    run, few = smoke(Distillation(8, device="cpu"), faces)
    log = distil(run, few, tmp_path)
    answers = np.load(tmp_path / "answers.npz")["training"].astype(np.float32)
    assert answers.shape == (240, 7)
    np.testing.assert_allclose(np.delete(answers, 6, 0).sum(1), 1, atol=0.01)
    for number, name in enumerate(run.pupils):
        path = tmp_path / f"pupil-{number}-{name}.safetensors"
        assert classifier_variant(path) == VARIANTS[name]
        with torch.inference_mode():
            assert load_classifier(path)(torch.zeros(2, 1, 48, 48)).shape == (2, 7)
    assert json.loads((tmp_path / "log.json").read_text()) == log
    assert log[-1]["name"] == "large-maps and middle-maps" and log[-2]["steps"] >= 1


def test_a_trial_takes_less_than_a_minute_and_no_longer_than_was_asked(faces: Faces) -> None:
    assert [smoke(Distillation(seconds), faces)[0].seconds for seconds in (560, 8)] == [40, 8]


def test_stored_answers_take_the_place_of_teachers(faces: Faces, tmp_path: Path) -> None:
    said = np.zeros((240, 7), np.float16)
    said[:, 3] = 1
    np.savez(tmp_path / "answers.npz", training=said, extra=np.full((40, 7), 1 / 7, np.float16))
    told = read_answers(tmp_path / "answers.npz", faces)
    run, few = smoke(Distillation(4, device="cpu", answers=told, taught=0.9), faces)
    rows = Rows(few, run)
    assert bool((rows.targets.argmax(1) == 3).all()) and rows.targets[:, 3].min() > 0.9
    log = distil(run, few, tmp_path / "out")
    assert not [entry for entry in log if "teacher" in entry["name"]]
    assert {entry["name"] for entry in log if "pupil" in entry["name"]} == {"pupil 0 large-maps", "pupil 1 middle-maps"}


def test_a_pupil_starts_from_weights(faces: Faces, tmp_path: Path) -> None:
    (shipped,) = (file for file in read_models().members if file.name == "emotion-large-maps")
    write_pack(faces, tmp_path / "pack")
    words = ["--seconds", "2", "--share", "0.1", "--device", "cpu", "--smoke", "--start", f"large-maps={shipped.path}"]
    main(["distil", str(tmp_path / "pack"), str(tmp_path / "out"), *words])
    with pytest.raises(SystemExit, match="--start names 'b0', which is none of the pupils"):
        main(["distil", str(tmp_path / "pack"), str(tmp_path / "out"), "--start", f"b0={shipped.path}"])
    start = load_classifier(shipped.path).state_dict()
    end = load_classifier(tmp_path / "out" / "pupil-0-large-maps.safetensors").state_dict()
    kernels = [name for name, tensor in start.items() if tensor.ndim == 4]
    alike = [torch.corrcoef(torch.stack((start[name].flatten(), end[name].flatten())))[0, 1] for name in kernels]
    assert min(alike) > 0.5, "random weights would have nothing in common with it"


def test_the_shipped_answers_fit_fer2013() -> None:
    said = np.load(Path(distillation.__file__).parent / "answers.npz")
    assert said["training"].shape == (28_709, 7) and said["extra"].shape == (12_515, 7)
    sums = said["training"].astype(np.float32).sum(1)
    assert np.count_nonzero(sums == 0) == 150, "rows that FER+ calls no face were not asked about"
    np.testing.assert_allclose(sums[sums > 0], 1, atol=0.01)


def test_the_entry_needs_no_more_than_torch_and_pictures(tmp_path: Path) -> None:
    code = """
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {"click", "celery", "sqlalchemy", "av", "openvino", "ultralytics", "rich"}:
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, Absent())
        import fer_model.training.__main__
        import fer_model.engines
        import fer_model.training.distillation.run
    """
    subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(code)], check=True, timeout=120)
