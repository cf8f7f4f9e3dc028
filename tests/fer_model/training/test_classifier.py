import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fer_model.errors import FerModelError, WeightsError
from fer_model.networks.classifiers import classifier_network
from fer_model.networks.loading import load_weights
from fer_model.training.classifier import predict, train_classifier
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.training.definitions import ClassifierRun, Epoch
from fer_model.training.recipes import RECIPES

RUN = ClassifierRun(recipe="mixup_cutmix", epochs=2, batch=16, seed=3)


def stripes(count: int, seed: int) -> LabelledFaces:
    """Pictures whose class is the width of their stripes, with noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 7
    waves = np.sin(np.arange(48) * (labels[:, None] + 1) * 0.35)[:, None, :]
    noise = random.normal(0, 10, (count, 48, 48))
    return LabelledFaces((128 + 90 * waves + noise).clip(0, 255).astype(np.uint8), labels.astype(np.int64))


TRAINING, VALIDATION = stripes(64, 0), stripes(21, 1)


class Killed(Exception):
    """Stands for a worker that dies between two epochs."""


def die(epoch: Epoch) -> None:
    raise Killed


def test_training_learns_and_leaves_checkpoint_and_best_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A higher learning rate diverges at first, and the order of floating-point additions decides where it ends."""
    caplog.set_level(logging.INFO)
    epochs: list[Epoch] = []
    run = ClassifierRun(recipe="baseline", epochs=12, batch=8, learning_rate=1e-3)
    best = train_classifier(run, TRAINING, VALIDATION, tmp_path / "run", epochs.append)
    assert [epoch.epoch for epoch in epochs] == list(range(1, 13))
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    accuracies = [epoch.train_accuracy or 0 for epoch in epochs]
    assert accuracies[-1] > 0.5 > 2 / 7 > accuracies[0]
    assert {path.name for path in best.parent.iterdir()} == {"checkpoint.pt", "best.safetensors"}
    assert sum(record.name == "fer_model.training.classifier" for record in caplog.records) == 12

    network = load_weights(classifier_network(), best)
    accuracy = (predict(network, VALIDATION.images).argmax(1) == VALIDATION.labels).mean()
    chosen = max(epoch.validation_accuracy for epoch in epochs)
    assert chosen > 2 / 7 > epochs[0].validation_accuracy, "the best weights are not those of the first epoch"
    assert accuracy == pytest.approx(chosen, abs=1.5 / 21), "half precision may turn one close decision"


@pytest.mark.parametrize("recipe", ["mixup_cutmix", "best_mixed"])
def test_an_interrupted_run_goes_on_to_the_very_same_weights(tmp_path: Path, recipe: str) -> None:
    run = replace(RUN, recipe=recipe)
    train_classifier(run, TRAINING, VALIDATION, tmp_path / "undisturbed")
    with pytest.raises(Killed):
        train_classifier(run, TRAINING, VALIDATION, tmp_path / "interrupted", die)
    torch.manual_seed(99)  # a new process draws other numbers
    epochs: list[Epoch] = []
    train_classifier(run, TRAINING, VALIDATION, tmp_path / "interrupted", epochs.append)
    assert [epoch.epoch for epoch in epochs] == [1, 2], "the first epoch is reported again, but not repeated"
    first, second = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("undisturbed", "interrupted")
    )
    for part in {"network", "average"} & first.keys():
        for name, tensor in first[part].items():
            assert torch.equal(tensor, second[part][name]), name
    bests = [load_file(tmp_path / name / "best.safetensors") for name in ("undisturbed", "interrupted")]
    assert all(torch.equal(tensor, bests[1][name]) for name, tensor in bests[0].items())


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    run = replace(RUN, epochs=1)
    best = train_classifier(run, TRAINING, VALIDATION, tmp_path)
    before = best.stat().st_mtime_ns
    epochs: list[Epoch] = []
    assert train_classifier(run, TRAINING, VALIDATION, tmp_path, epochs.append) == best
    assert [epoch.epoch for epoch in epochs] == [1]
    assert best.stat().st_mtime_ns == before


def test_training_ends_when_patience_does(tmp_path: Path) -> None:
    """With no learning, no epoch is better than the first one."""
    epochs: list[Epoch] = []
    run = ClassifierRun(recipe="baseline", epochs=9, batch=32, learning_rate=1e-12, patience=2)
    best = train_classifier(run, TRAINING, stripes(7, 1), tmp_path, epochs.append)
    improved = [
        e.epoch
        for i, e in enumerate(epochs)
        if e.validation_accuracy > max([-1.0, *(b.validation_accuracy for b in epochs[:i])])
    ]
    assert len(epochs) == improved[-1] + 2 < 9
    assert best.exists()


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_best(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train_classifier(replace(RUN, recipe="baseline"), TRAINING, VALIDATION, tmp_path, die)
    best = (tmp_path / "best.safetensors").read_bytes()
    checkpoint = tmp_path / "checkpoint.pt"
    saved = torch.load(checkpoint, weights_only=True)
    saved["network"]["classifier.1.weight"].fill_(float("nan"))
    torch.save(saved, checkpoint)
    with pytest.raises(FerModelError, match="the loss is no longer a number in epoch 2; lower the learning rate"):
        train_classifier(replace(RUN, recipe="baseline"), TRAINING, VALIDATION, tmp_path)
    assert (tmp_path / "best.safetensors").read_bytes() == best


def test_infinite_gradients_in_the_last_batch_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = classifier_network()
    network.get_parameter("classifier.1.weight").register_hook(lambda gradient: gradient * float("inf"))
    monkeypatch.setattr("fer_model.training.classifier.classifier_network", lambda side: network)
    few = stripes(16, 0)
    with pytest.raises(FerModelError, match="the loss is no longer a number in epoch 1; lower the learning rate"):
        train_classifier(replace(RUN, recipe="baseline", epochs=1), few, VALIDATION, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_too_high_a_learning_rate_is_noticed(tmp_path: Path) -> None:
    run = replace(RUN, recipe="baseline", learning_rate=1e30)
    with pytest.raises(FerModelError, match="the loss is no longer a number in epoch 1"):
        train_classifier(run, TRAINING, VALIDATION, tmp_path)


def test_a_start_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.safetensors: cannot be read"):
        train_classifier(replace(RUN, init=str(tmp_path / "nothing.safetensors")), TRAINING, VALIDATION, tmp_path)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains(tmp_path: Path, recipe: str) -> None:
    epochs: list[Epoch] = []
    tiny = stripes(16, 0)
    train_classifier(ClassifierRun(recipe=recipe, epochs=1, batch=16), tiny, tiny, tmp_path, epochs.append)
    assert np.isfinite(epochs[0].loss)


def test_votes_change_what_is_learned(tmp_path: Path) -> None:
    losses: list[float] = []
    for votes in (None, np.eye(7, dtype=np.float32)[(TRAINING.labels + 1) % 7]):
        epochs: list[Epoch] = []
        training, folder = replace(TRAINING, votes=votes), tmp_path / str(len(losses))
        train_classifier(replace(RUN, recipe="best", epochs=1), training, VALIDATION, folder, epochs.append)
        losses.append(epochs[0].loss)
    assert losses[0] != losses[1]


def test_what_is_called_before_a_batch_can_end_the_run(tmp_path: Path) -> None:
    batches = []

    def stop_at_the_third() -> None:
        batches.append(1)
        if len(batches) == 3:
            raise Killed

    with pytest.raises(Killed):
        train_classifier(RUN, TRAINING, VALIDATION, tmp_path, before_batch=stop_at_the_third)
    assert len(batches) == 3
    assert list(tmp_path.iterdir()) == []


def test_it_is_called_while_validating_too(tmp_path: Path) -> None:
    validating = []

    def stop_while_validating() -> None:
        validating.append(torch.is_inference_mode_enabled())
        if validating[-1]:
            raise Killed

    with pytest.raises(Killed):
        train_classifier(RUN, TRAINING, VALIDATION, tmp_path, before_batch=stop_while_validating)
    assert validating == [False, False, False, False, True]


def test_predictions_are_probabilities_in_order_whatever_the_batch() -> None:
    torch.manual_seed(0)
    network = classifier_network()
    together = predict(network, VALIDATION.images)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(predict(network, VALIDATION.images, batch=4), together, atol=1e-5)


def test_a_folder_with_another_run_is_refused(tmp_path: Path) -> None:
    train_classifier(replace(RUN, epochs=1), TRAINING, VALIDATION, tmp_path)
    with pytest.raises(FerModelError, match="another definition"):
        train_classifier(replace(RUN, epochs=1, seed=4), TRAINING, VALIDATION, tmp_path)
