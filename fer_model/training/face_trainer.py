"""Ultralytics' trainer with a callback for each epoch and exact resuming after a kill.

Ultralytics' own resuming loads rounded, averaged weights and draws other random numbers. Here every epoch has
its own seed, gradients are never carried over from one epoch to the next, and the checkpoint holds the rest in
full precision.

Import this only after `disable_ultralytics_telemetry`.
"""

import random
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.torch_utils import unset_deterministic, unwrap_model

from fer_model.errors import TrainingError
from fer_model.networks.loading import load_detector, save_weights
from fer_model.training.classifier import disk_error, load_checkpoint, save_checkpoint
from fer_model.training.definitions import BEST, CHECKPOINT, DetectorRun, Epoch
from fer_model.training.degrade import degrade_randomly

AP50 = "metrics/mAP50(B)"
STEP = 64
"""Pictures per optimizer step: gradients of smaller batches are accumulated."""

SETTINGS = {
    "model": "yolov8n.yaml", "imgsz": 640, "optimizer": "AdamW", "warmup_epochs": 0.5, "close_mosaic": 1,
    "mosaic": 0.5, "scale": 0.6, "hsv_v": 0.5, "degrees": 8.0, "amp": False, "workers": 0, "plots": False,
    "exist_ok": True,
}  # fmt: skip


def train(
    run: DetectorRun,
    init: Path,
    description: Path,
    folder: Path,
    on_epoch: Callable[[Epoch], None],
    before_batch: Callable[[], None],
) -> None:
    """Trains until the run has ended and writes the two files of its folder; errors as of `train_detector`.

    Ultralytics' own output goes beside the `description` of the photographs.
    """
    saved = _earlier(run, folder / CHECKPOINT)
    if saved:
        on_epoch(Epoch(**saved["last"]))
    if saved and saved["ended"]:
        return
    try:
        trainer = FaceTrainer(run, init, description, folder)
        trainer.saved, trainer.on_epoch, trainer.before_batch = saved, on_epoch, before_batch
        trainer.train()  # type: ignore[no-untyped-call]
    except OSError as error:
        # Ultralytics writes files of its own, and opens some photographs late.
        raise TrainingError(f"{description.parent}: the training cannot go on ({error})") from error
    finally:
        unset_deterministic()


def _earlier(run: DetectorRun, checkpoint: Path) -> dict[str, Any] | None:
    if not checkpoint.exists():
        return None
    saved = load_checkpoint(checkpoint, "cpu")
    if replace(run, device=saved["run"].get("device")) != DetectorRun(**saved["run"]):
        raise TrainingError(f"{checkpoint.parent} holds a run of another definition; give another folder")
    return saved


class FaceTrainer(DetectionTrainer):
    """One run; `saved` is the checkpoint from which it resumes, if any."""

    # Ultralytics does not annotate these attributes.
    model: Any
    ema: Any
    optimizer: Any
    stopper: Any
    loss: Any
    tloss: Any
    metrics: Any
    best_fitness: Any
    validator: Any

    saved: dict[str, Any] | None = None
    on_epoch: Callable[[Epoch], None]
    before_batch: Callable[[], None]

    def __init__(self, run: DetectorRun, init: Path, description: Path, folder: Path) -> None:
        self.definition, self.init, self.folder = run, init, folder
        self.batches, self.began, self.improved = 0, 0.0, False
        self.finished: Epoch | None = None
        places = {"data": str(description), "project": str(description.parent), "name": "run"}
        # `optimizer_step` accumulates instead, so that no remainder is carried into the next epoch.
        chosen = {"epochs": run.epochs, "batch": run.batch, "nbs": run.batch, "lr0": run.learning_rate}
        given = {"seed": run.seed, "device": run.device, "verbose": False}
        super().__init__(overrides={**SETTINGS, **places, **chosen, **given})
        for event, action in (
            ("on_train_epoch_start", FaceTrainer.begin_epoch),
            ("on_train_batch_start", FaceTrainer.begin_batch),
            ("on_train_batch_end", FaceTrainer.end_batch),
            ("on_fit_epoch_end", FaceTrainer.tell),
        ):
            self.add_callback(event, action)
        # The validator runs the trainer's callbacks with itself as the argument.
        self.add_callback("on_val_batch_start", lambda validator: self.before_batch())

    def begin_epoch(self) -> None:
        """Resets all state but the weights and the optimizer's, so that an epoch can be resumed exactly."""
        self.began, self.batches = time.perf_counter(), 0
        seed = self.definition.seed * 10_000 + self.epoch
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        self.train_loader.generator.manual_seed(seed)
        self.train_loader.reset()
        dataset = self.train_loader.dataset
        # Mosaics are made from the pictures read last.
        for place in dataset.buffer:
            dataset.ims[place] = dataset.im_hw0[place] = dataset.im_hw[place] = None
        dataset.buffer.clear()

    def begin_batch(self) -> None:
        """Calls `before_batch`, which may raise to end the run."""
        self.before_batch()
        self.batches += 1

    def end_batch(self) -> None:
        """Ends a run whose loss is no longer finite. Raises `TrainingError`."""
        self._must_be_finite(self.loss)

    def _must_be_finite(self, number: Any) -> None:
        if not torch.isfinite(number):
            raise TrainingError(f"the loss is no longer a number in epoch {self.epoch + 1}; lower the learning rate")

    def tell(self) -> None:
        """Calls `on_epoch` after the epoch's checkpoint is written."""
        if self.finished:
            self.on_epoch(self.finished)

    def optimizer_step(self) -> None:
        """One step for every `STEP` pictures, and one for the rest of the epoch. Raises `TrainingError`."""
        if self.batches % max(STEP // self.definition.batch, 1) == 0 or self.batches == len(self.train_loader):
            # Infinite gradients give NaN weights, and after the last batch no loss would show that.
            gradients = [each.grad for each in self.model.parameters() if each.grad is not None]
            self._must_be_finite(torch.nn.utils.get_total_norm(gradients))
            super().optimizer_step()  # type: ignore[no-untyped-call]

    def validate(self) -> tuple[dict[str, Any], float]:
        """The averaged network's figures; AP50 is what chooses the epoch."""
        metrics = self.validator(self)
        metrics.pop("fitness", None)
        fitness = float(metrics[AP50])
        self.improved = self.best_fitness is None or fitness > self.best_fitness
        if self.improved:
            self.best_fitness = fitness
        return metrics, fitness

    def save_model(self) -> bool:
        """Writes the best weights and the checkpoint, each atomically. Raises `TrainingError`."""
        self.finished = Epoch(
            epoch=self.epoch + 1,
            loss=sum(float(value) for value in self.tloss.values()),
            train_accuracy=None,
            validation_accuracy=float(self.metrics[AP50]),
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            seconds=time.perf_counter() - self.began,
            loading_seconds=None,
        )
        try:
            if self.improved:
                trained = deepcopy(self.ema.ema).float()
                mixed = interpolate(load_detector(self.init), trained, self.definition.share)
                # Without the epoch's AP50, which is the averaged network's, not theirs.
                save_weights(mixed, self.folder / BEST, {"best_epoch": str(self.finished.epoch)})
            save_checkpoint(self._state(self.finished), self.folder / CHECKPOINT)
        except OSError as error:
            raise disk_error(error, self.folder) from error
        return True

    def _state(self, last: Epoch) -> dict[str, Any]:
        return {
            "run": asdict(self.definition),
            "last": asdict(last),
            "ended": bool(self.stop),
            "network": unwrap_model(self.model).state_dict(),
            "average": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "best": self.best_fitness,
            "stopper": [float(self.stopper.best_fitness), int(self.stopper.best_epoch)],
        }

    def resume_training(self, ckpt: Any) -> None:
        """Restores the state that `save_model` wrote."""
        if self.saved is None:
            return
        saved, self.saved = self.saved, None
        unwrap_model(self.model).load_state_dict(saved["network"])
        self.ema.ema.load_state_dict(saved["average"])
        self.ema.updates = saved["updates"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.best_fitness = saved["best"]
        self.stopper.best_fitness, self.stopper.best_epoch = saved["stopper"]
        self.start_epoch = saved["last"]["epoch"]

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """The initial network, of any architecture."""
        return self.set_model_names_for_load(load_detector(self.init))  # type: ignore[no-untyped-call]

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """Ultralytics' data set, with degraded pictures for training."""
        dataset = super().build_dataset(img_path, mode, batch)
        if mode == "train":
            # Last but one: the last transform turns the picture into a tensor.
            dataset.transforms.transforms.insert(-1, Degrade(self.definition.degradation))
        return dataset

    def save_metrics(self, metrics: dict[str, float]) -> None:
        """Does nothing: `tell` reports the epoch's figures."""

    def final_eval(self) -> None:
        """Does nothing: the best weights are already written."""

    def _handle_nan_recovery(self, epoch: int) -> bool:
        # Ultralytics' own would return to a checkpoint and retry with other random numbers.
        return False


class Degrade:
    """A transform of Ultralytics' pipeline, from and to a dictionary with the picture under `img`."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        # The trainer seeds `random`, so a run can be repeated.
        generator = np.random.default_rng(random.getrandbits(64))
        labels["img"] = degrade_randomly(labels["img"], self.probability, generator)
        return labels


def interpolate(start: Any, end: Any, share: float) -> Any:
    """Linear interpolation of all floats: `share` 0 gives `start`, 1 gives `end`."""
    with torch.no_grad():
        known = start.state_dict()
        for name, tensor in end.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(known[name].to(tensor), 1 - share)
    return end
