"""Trains one classifier: AdamW, OneCycle, a checkpoint after every epoch."""

import errno
import io
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fer_model.atomic import write_atomically
from fer_model.errors import TrainingError
from fer_model.networks.classifiers import classifier_network
from fer_model.networks.loading import SIDE_KEY, save_weights, start_classifier
from fer_model.preprocess import normalise
from fer_model.training.augment import augment
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.training.definitions import BEST, CHECKPOINT, ClassifierRun, Epoch
from fer_model.training.depthwise import quicken
from fer_model.training.recipes import RECIPES, Recipe
from fer_model.types import EMOTIONS

logger = logging.getLogger(__name__)

CHECK_EVERY = 50
"""Batches after which the host waits for a GPU to see whether the loss is still a number."""


@dataclass
class _State:
    network: nn.Module
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    best: float = -1.0
    stale: int = 0
    last: Epoch | None = None
    loading: float = 0.0

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        return self.last.epoch if self.last else 0

    @property
    def kept(self) -> nn.Module:
        """The network that is measured and saved: the averaged one if there is one."""
        return self.network if self.average is None else self.average.module

    @property
    def parts(self) -> dict[str, Any]:
        """The stateful parts of a checkpoint."""
        parts = {"network": self.network, "optimizer": self.optimizer, "scheduler": self.scheduler}
        return parts if self.average is None else {**parts, "average": self.average}


def train_classifier(
    run: ClassifierRun,
    training: LabelledFaces,
    validation: LabelledFaces,
    folder: Path,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    before_batch: Callable[[], None] = lambda: None,
) -> Path:
    """Trains, or resumes from `folder`'s checkpoint; gives the path of the best epoch's weights.

    "Best" is the epoch with the highest validation accuracy; training ends early after
    `patience` epochs without a better one. Writes `CHECKPOINT` and `BEST`.
    `on_epoch` is called for every epoch after its checkpoint is written. On resuming it is called
    again for the last epoch, since the process may have died between the two. `before_batch` is
    called before every batch, also in validation. An exception from either ends the run.

    Raises:
        TrainingError: the loss is no longer a number, the disk is full (the best weights so far stay in
            the folder), or the folder holds the checkpoint of another run. `init` and the device are
            not compared: they may differ between machines.
        WeightsError: `init` does not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = _start(run, len(training.labels))
    checkpoint, best = folder / CHECKPOINT, folder / BEST
    if checkpoint.exists():
        _restore(run, state, checkpoint)
    if state.last:
        on_epoch(state.last)
    while state.epoch < run.epochs and state.stale < run.patience:
        result = _one_epoch(run, state, training, validation, before_batch)
        state.last, state.stale = result, 0 if result.validation_accuracy > state.best else state.stale + 1
        try:
            if not state.stale:
                state.best = result.validation_accuracy
                save_weights(state.kept, best, {**result.metadata, SIDE_KEY: str(RECIPES[run.recipe].side)})
            _save(run, state, checkpoint)
        except OSError as error:
            raise disk_error(error, folder) from error
        logger.info("%s", asdict(result))
        on_epoch(result)
    return best


def _start(run: ClassifierRun, examples: int) -> _State:
    torch.manual_seed(run.seed)
    recipe = RECIPES[run.recipe]
    network = classifier_network(recipe.side)
    if run.init:
        start_classifier(network, Path(run.init))
    network = quicken(network).to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
    optimizer = torch.optim.AdamW(decay_groups(network, run.weight_decay), lr=run.learning_rate)
    steps = -(-examples // run.batch)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, run.learning_rate, epochs=run.epochs, steps_per_epoch=steps, pct_start=recipe.warmup
    )
    return _State(network, average if recipe.ema else None, optimizer, scheduler)


def decay_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: `decay` for matrices and kernels only, not for biases and normalisation."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _one_epoch(
    run: ClassifierRun,
    state: _State,
    training: LabelledFaces,
    validation: LabelledFaces,
    before_batch: Callable[[], None],
) -> Epoch:
    began, state.loading = time.perf_counter(), 0.0
    # Loss, right answers and gradients' norms in sum: on the device, which the host only asks now and then.
    sums = torch.zeros(3, dtype=torch.float64, device=run.device)
    state.network.train()
    for number, rows in enumerate(torch.randperm(len(training.labels)).split(run.batch), 1):
        before_batch()
        sums += _step(run, state, *_batch(run, state, training, rows.numpy()))
        if number % CHECK_EVERY == 0:
            _check(sums, state)
    losses, correct = _check(sums, state)
    answers = predict(state.kept, validation.images, before_batch=before_batch).argmax(1)
    accuracy = float((answers == validation.labels).mean())
    return Epoch(
        epoch=state.epoch + 1,
        loss=losses / len(training.labels),
        train_accuracy=correct / len(training.labels),
        validation_accuracy=accuracy,
        learning_rate=float(state.scheduler.get_last_lr()[0]),
        seconds=time.perf_counter() - began,
        loading_seconds=state.loading,
    )


def _batch(
    run: ClassifierRun, state: _State, faces: LabelledFaces, rows: NDArray[np.int64]
) -> tuple[Tensor, Tensor, Tensor]:
    """One augmented, normalised batch (n, 1, 48, 48), its targets (n, 7) and labels (n,), on the run's device."""
    began, recipe = time.perf_counter(), RECIPES[run.recipe]
    images = torch.from_numpy(faces.images[rows])[:, None].to(run.device).float()
    images, targets = augment(images, _targets(recipe, faces, rows).to(run.device), recipe)
    images = normalise(images).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(faces.labels[rows]).to(run.device)
    state.loading += time.perf_counter() - began
    return images, targets, labels


def _targets(recipe: Recipe, faces: LabelledFaces, rows: NDArray[np.int64]) -> Tensor:
    """The smoothed labels, mixed with the votes and the teachers' outputs."""
    targets = functional.one_hot(torch.from_numpy(faces.labels[rows]), len(EMOTIONS)).float()
    targets = targets * (1 - recipe.smoothing) + recipe.smoothing / len(EMOTIONS)
    if recipe.votes and faces.votes is not None:
        targets = targets.lerp(torch.from_numpy(faces.votes[rows]), recipe.votes)
    if faces.taught is not None:
        targets = targets.lerp(torch.from_numpy(faces.taught[rows]), recipe.taught)
    return targets


def _step(run: ClassifierRun, state: _State, images: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """One step; on the device the loss, summed over the batch, the number of right answers and the gradients' norm."""
    with torch.autocast("cuda", torch.bfloat16, enabled=images.is_cuda):
        logits = state.network(images)
    loss = functional.cross_entropy(logits.float(), targets)
    state.optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), run.clip)
    state.optimizer.step()
    state.scheduler.step()
    if state.average is not None:
        state.average.update_parameters(state.network)
    return torch.stack((loss.detach() * len(labels), (logits.detach().argmax(1) == labels).sum(), norm))


def _check(sums: Tensor, state: _State) -> tuple[float, int]:
    """The sums of loss and right answers so far. Raises `TrainingError` where the loss or a gradient was no number."""
    losses, correct, norms = sums.tolist()
    # Infinite gradients give NaN weights, and after the last batch no loss would show that.
    if not math.isfinite(losses + norms):
        raise TrainingError(f"the loss is no longer a number in epoch {state.epoch + 1}; lower the learning rate")
    return losses, int(correct)


@torch.inference_mode()
def predict(
    network: nn.Module,
    images: NDArray[np.uint8],
    batch: int = 64,
    before_batch: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Softmax probabilities (N, 7) of (N, 48, 48) grey pictures 0..255. Exceptions of `before_batch` propagate."""
    network.eval()
    device, parts = next(network.parameters()).device, []
    for start in range(0, len(images), batch):
        before_batch()
        pictures = torch.from_numpy(images[start : start + batch])[:, None].to(device).float()
        # With channels last and in small batches a CPU is two and a half times as fast.
        faces = normalise(pictures).contiguous(memory_format=torch.channels_last)
        parts.append(network(faces).softmax(1).cpu())
    return torch.cat(parts).numpy()


def _save(run: ClassifierRun, state: _State, path: Path) -> None:
    saved = {name: part.state_dict() for name, part in state.parts.items()}
    random = {"random": torch.get_rng_state()}
    if run.device != "cpu":
        random["device_random"] = torch.cuda.get_rng_state(run.device)
    progress = {"last": asdict(state.last) if state.last else None, "best": state.best, "stale": state.stale}
    save_checkpoint({"run": asdict(run), **progress, **saved, **random}, path)


def _restore(run: ClassifierRun, state: _State, path: Path) -> None:
    saved = load_checkpoint(path, run.device)
    if replace(run, **{name: saved["run"].get(name) for name in ("init", "device")}) != ClassifierRun(**saved["run"]):
        raise TrainingError(f"{path.parent} holds a run of another definition; give another folder")
    for name, part in state.parts.items():
        part.load_state_dict(saved[name])
    state.last, state.best, state.stale = Epoch(**saved["last"]), saved["best"], saved["stale"]
    torch.set_rng_state(saved["random"].cpu())
    if run.device != "cpu" and "device_random" in saved:
        torch.cuda.set_rng_state(saved["device_random"].cpu(), run.device)


def save_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint as `write_atomically` does. Raises `OSError`."""
    # Serialised in memory first: torch's errors do not give the reason of a failed write.
    torch.save(content, serialised := io.BytesIO())
    write_atomically(path, serialised.getbuffer())


def load_checkpoint(path: Path, device: str) -> dict[str, Any]:
    """A checkpoint's content, its tensors on `device`; runs no code from the file. Raises `TrainingError`."""
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
        raise TrainingError(f"{path}: the checkpoint cannot be read ({error}); delete it to begin anew") from error
    return content


def disk_error(error: OSError, folder: Path) -> TrainingError:
    """The error for a checkpoint that cannot be written, in one sentence."""
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
    return TrainingError(f"{folder}: the checkpoint cannot be written ({reason})")
