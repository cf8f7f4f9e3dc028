"""Learning from teachers' answers, and teachers that see larger faces."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_model.errors import TrainingError, WeightsError
from fer_model.networks.classifiers import classifier_network
from fer_model.networks.loading import classifier_side, load_classifier, save_weights
from fer_model.networks.manifest import WeightsFile, given_file
from fer_model.training.classifier import train_classifier
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.training.definitions import ClassifierRun
from fer_model.training.measurement.complexity import complexity
from fer_model.training.measurement.reports import load_members, member_outputs
from fer_model.training.teaching import taught

FACES = LabelledFaces(np.random.default_rng(0).integers(0, 256, (14, 48, 48), dtype=np.uint8), np.arange(14) % 7)


@pytest.fixture
def teachers(tmp_path: Path) -> list[WeightsFile]:
    files = []
    for seed, side in enumerate((48, 96)):
        torch.manual_seed(seed)
        network = classifier_network(side)
        torch.nn.init.normal_(network.classifier[1].bias)  # type: ignore[index, union-attr]
        save_weights(network, path := tmp_path / f"{side}.safetensors", {"side": str(side)})
        files.append(given_file(path))
    return files


def test_the_answers_are_the_teachers_mean_for_a_face_and_its_mirror_image(
    teachers: list[WeightsFile], tmp_path: Path
) -> None:
    answers = taught(FACES, teachers, tmp_path).taught
    members = load_members(teachers)
    views = [member_outputs(members, np.ascontiguousarray(FACES.images[:, :, ::step])) for step in (1, -1)]
    assert answers is not None
    np.testing.assert_allclose(answers, np.mean(views, axis=(0, 1)), atol=1e-6)


def test_teachers_are_asked_once_whatever_their_order(teachers: list[WeightsFile], tmp_path: Path) -> None:
    first = taught(FACES, teachers, tmp_path / "cache").taught
    for file in teachers:
        file.path.unlink()
    np.testing.assert_array_equal(taught(FACES, teachers[::-1], tmp_path / "cache").taught, first)
    with pytest.raises(WeightsError):
        taught(FACES, teachers[:1], tmp_path / "cache")


def test_damaged_answers_are_named(teachers: list[WeightsFile], tmp_path: Path) -> None:
    taught(FACES, teachers, tmp_path)
    (kept,) = (tmp_path / "training-data").iterdir()
    kept.write_bytes(b"no array")
    with pytest.raises(TrainingError, match=r"taught-.*\.npy: is damaged"):
        taught(FACES, teachers, tmp_path)


def test_a_pupil_learns_what_the_teachers_say_and_not_the_labels_alone(tmp_path: Path) -> None:
    run = ClassifierRun(recipe="baseline", epochs=1, batch=7, seed=1)
    answers = np.full((14, 7), 0.0, np.float32)
    answers[:, 3] = 1.0
    losses: list[float] = []
    for faces in (FACES, replace(FACES, taught=answers)):
        train_classifier(run, faces, FACES, tmp_path / str(len(losses)), lambda epoch: losses.append(epoch.loss))
    assert losses[0] != losses[1]


def test_a_teacher_sees_larger_faces_at_more_cost() -> None:
    torch.manual_seed(0)
    large, small = classifier_network(96).eval(), classifier_network().eval()
    small.load_state_dict(large.state_dict())
    faces = torch.randn(2, 1, 48, 48)
    enlarged = torch.nn.functional.interpolate(faces, size=(96, 96), mode="bilinear")
    with torch.inference_mode():
        torch.testing.assert_close(large(faces), small(enlarged))
    assert complexity(large).gmacs > 3 * complexity(small).gmacs


def test_weights_say_the_side_they_work_on(tmp_path: Path) -> None:
    run = ClassifierRun(recipe="teacher", epochs=1, batch=14)
    best = train_classifier(run, FACES, FACES, tmp_path)
    assert classifier_side(best) == 96
    assert complexity(load_classifier(best)).gmacs == complexity(classifier_network(96)).gmacs


@pytest.mark.parametrize("side", ["", "forty", "-48", "12", "4096"])
def test_a_side_that_cannot_be_is_refused(tmp_path: Path, side: str) -> None:
    save_weights(classifier_network(), path := tmp_path / "a.safetensors", {"side": side})
    with pytest.raises(WeightsError, match=r"a\.safetensors: works on faces of '.*' pixels"):
        load_classifier(path)
