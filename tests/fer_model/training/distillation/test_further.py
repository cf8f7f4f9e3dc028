"""Training on by stored answers, on the CPU."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from fer_model.errors import TrainingDataError
from fer_model.networks.architectures import read_metadata
from fer_model.networks.loading import STRENGTH_KEY, load_classifier
from fer_model.networks.manifest import read_models
from fer_model.training.distillation.further import STAGES, Further, further, targets_of
from fer_model.training.distillation.pack import Faces
from fer_model.training.distillation.run import answers
from fer_model.training.priors import adjust


@pytest.fixture(scope="module")
def faces() -> Faces:
    """280 rows, of which FER+ calls one no face; the label and the teachers' answer differ."""
    images = clouds(280, 48)
    labels = np.arange(280) % 7
    votes = np.zeros((280, 10), np.int64)
    votes[:, 0] = 10
    votes[6] = [0] * 9 + [10]
    soft = np.eye(7, dtype=np.float32)[(labels + 1) % 7]
    return Faces(images, labels, soft, votes, np.arange(280), images[:70], labels[:70], clouds(40, 64))


def clouds(count: int, side: int) -> np.ndarray:
    """Pictures as smooth as faces are: noise of every pixel is so far from them that the averages lag for long."""
    coarse = np.random.default_rng(side).integers(0, 255, (count, 6, 6), np.uint8)
    return np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_CUBIC) for each in coarse])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teachers that call every face surprised."""
    surprised = np.eye(7, dtype=np.float16)[[5]]
    path = tmp_path_factory.mktemp("answers") / "answers.npz"
    np.savez(path, training=surprised.repeat(280, 0), extra=surprised.repeat(40, 0))
    return path


@pytest.fixture(scope="module")
def start() -> Path:
    """The shipped classifier that is trained fastest."""
    return next(file.path for file in read_models().members if file.name == "emotion-large-maps")


@pytest.mark.parametrize(
    ("stage", "label", "votes", "teachers"), [("answers", 0.2478, 0.1988, 0.5419), ("labels", 0.5909, 0.1009, 0.2969)]
)
def test_a_row_is_taught_by_teachers_votes_and_its_label(
    faces: Faces, stage: str, label: float, votes: float, teachers: float
) -> None:
    targets = targets_of(STAGES[stage], faces, torch.eye(7)[[5]].repeat(280, 1))
    assert targets[0].tolist() == pytest.approx([label, votes, 0.0029, 0.0029, 0.0029, teachers, 0.0029], abs=1e-4)
    assert torch.allclose(targets.sum(1), torch.ones(280))


@pytest.mark.parametrize("has_extra", [True, False], ids=["with unlabelled faces", "without"])
def test_a_network_learns_what_the_teachers_say(
    faces: Faces, told: Path, start: Path, has_extra: bool, tmp_path: Path
) -> None:
    given = faces if has_extra else replace(faces, extra=faces.extra[:0])
    log = trained("answers", start, given, told, tmp_path / "end.safetensors")
    assert log[-1]["progress"] == 1
    before, after = (said(load_classifier(path), faces)[5] for path in (start, tmp_path / "end.safetensors"))
    assert after > before + 0.05


def trained(stage: str, start: Path, faces: Faces, told: Path, end: Path) -> list[dict[str, Any]]:
    """The log of a run of at least 40 steps: the machine may be slow or busy."""
    seconds, steps = 4, 0
    while steps < 40:
        seconds *= 2
        log = further(Further(seconds, stage, 3e-3, 16, 2), start, faces, told, end)
        steps = log[-1]["steps"]
    return log


def said(network: nn.Module, faces: Faces) -> np.ndarray:
    """The mean probabilities on PublicTest, (7,), normalised by its own statistics: those kept lag for hundreds of
    steps."""
    return answers(lambda images: [network.train()(images)], torch.from_numpy(faces.public)).mean(0).numpy()


def test_in_the_second_stage_labels_weigh_more(faces: Faces, told: Path, start: Path, tmp_path: Path) -> None:
    labels = np.where(np.arange(280) < 7, np.arange(280), 3)
    happy = replace(faces, labels=labels, soft=np.eye(7, dtype=np.float32)[labels])
    lead = {}
    for stage in STAGES:
        trained(stage, start, happy, told, tmp_path / stage)
        found = said(load_classifier(tmp_path / stage), happy)
        lead[stage] = found[3] - found[5]
    assert lead["labels"] > lead["answers"] + 0.1, "teachers say surprised, labels happy"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"training": np.zeros((279, 7), np.float16)}, "has answers for 279 faces, and rows of Training are 280"),
        ({"extra": np.zeros((0, 7), np.float16)}, "has answers for 0 faces, and --extra are 40"),
        ({}, "holds no teachers' answers"),
    ],
)
def test_answers_to_other_faces_are_refused(
    faces: Faces, told: Path, start: Path, wrong: dict[str, np.ndarray], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "answers.npz"
    np.savez(path, **(dict(np.load(told)) | wrong)) if wrong else path.write_text("answers")
    with pytest.raises(TrainingDataError, match=re.escape(reason)):
        further(Further(1), start, faces, path, tmp_path / "end.safetensors")


def test_an_adjustment_is_taken_back_and_the_architecture_is_kept(
    faces: Faces, told: Path, start: Path, tmp_path: Path
) -> None:
    """Else a second adjustment would come on top of the first."""
    end = tmp_path / "end.safetensors"
    further(Further(1, "answers", 1e-9, 16, 4), start, faces, told, end)
    described, left = read_metadata(start), read_metadata(end)
    strength = float(described.pop(STRENGTH_KEY))
    described.pop("best_epoch", None)
    assert left == described
    adjust(end, faces.labels, strength, tmp_path / "again.safetensors")
    before, after = (
        load_classifier(path).get_parameter("classifier.1.bias") for path in (start, tmp_path / "again.safetensors")
    )
    assert torch.allclose(before, after, atol=2e-3)
