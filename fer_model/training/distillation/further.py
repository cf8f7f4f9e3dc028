"""Trains a classifier on by stored answers of teachers: hours on one core of a processor, where `distil` needs a GPU.

The peak rate is a quarter to a half of what random weights take, else the network forgets what it knows before it has
the time to learn it again.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fer_model.networks.architectures import read_metadata
from fer_model.networks.loading import STRENGTH_KEY, load_classifier, save_weights
from fer_model.training.datasets.ferplus import shows_face
from fer_model.training.depthwise import quicken
from fer_model.training.distillation.loop import Course, Plan, train
from fer_model.training.distillation.pack import EXTRA_ZOOM, Faces, read_answers
from fer_model.training.distillation.run import Draw, accuracy, answers, normal, often
from fer_model.training.distillation.views import disturbed, lit, placed
from fer_model.training.priors import log_shares

SMOOTHING = 0.02
MOMENTUM = 0.02
"""Of batch normalisation's statistics: its default of 0.1 follows the last ten batches alone."""

LOOKS = 12


@dataclass(frozen=True, slots=True)
class Stage:
    """What a run learns from: weights of the teachers' answers, of the labels' probabilities given the FER+ votes, and
    of the labels; `geometry` 0..1 is how far faces are turned, shifted and scaled until the end of the run calms it."""

    taught: float
    voted: float
    labelled: float
    geometry: float


STAGES = {"answers": Stage(0.55, 0.2, 0.25, geometry=1.0), "labels": Stage(0.3, 0.1, 0.6, geometry=0.35)}
"""First the answers, from which a network learns what faces have in common; then the labels, since a network that is
taught softly underfits them: docs/decisions/training.md."""


@dataclass(frozen=True, slots=True)
class Further:
    """A run of `seconds`; `stage` is one of `STAGES`; `extra` of each `batch` are unlabelled faces, rare emotions more
    often."""

    seconds: float
    stage: str = "answers"
    learning_rate: float = 6e-4
    batch: int = 128
    extra: int = 14
    seed: int = 1
    device: str = "cpu"


def targets_of(stage: Stage, faces: Faces, said: Tensor) -> Tensor:
    """What each row of Training is taught, (N, 7); `said` (N, 7) are the teachers' probabilities."""
    labels = functional.one_hot(torch.from_numpy(faces.labels), 7).float()
    together = stage.taught * said + stage.voted * torch.from_numpy(faces.soft) + stage.labelled * labels
    return together * (1 - SMOOTHING) + SMOOTHING / 7


def further(run: Further, start: Path, faces: Faces, told: Path, output: Path) -> list[dict[str, Any]]:
    """Trains the weights `start` by the answers in the file `told`, writes the average to `output`; gives the log.

    A logit adjustment of `start` is taken back first. Nothing is chosen on PublicTest: the end is kept.

    Raises:
        WeightsError: the weights cannot be read.
        TrainingDataError: the answers cannot be read, or are not those for these faces.
        OSError: the result cannot be written.
    """
    torch.manual_seed(run.seed)
    network, metadata = _ready(start, faces)
    course = _course(run, network, faces, told)
    log: list[dict[str, Any]] = []
    began = time.monotonic()
    public, labels = (torch.from_numpy(each).to(run.device) for each in (faces.public, faces.public_labels))

    def look(course: Course, progress: float) -> None:
        right = accuracy(answers(lambda images: [course.average(images)], public), labels)
        figures = {"epochs": round(course.epochs, 1), "loss": round(float(course.last), 4), "public": right}
        log.append({"progress": round(progress, 3), "steps": course.steps, **figures})
        print(round(time.monotonic() - began), log[-1], flush=True)

    course.capture()
    train([course], run.seconds, LOOKS, look)
    save_weights(course.average.float().cpu(), output, metadata)
    return log


def _ready(start: Path, faces: Faces) -> tuple[nn.Module, dict[str, str]]:
    """The network, not adjusted, and what its weights' metadata say apart from that, its epoch and its accuracy."""
    network, metadata = load_classifier(start), dict(read_metadata(start))
    for stale in ("validation_accuracy", "best_epoch"):
        metadata.pop(stale, None)
    strength = float(metadata.pop(STRENGTH_KEY, 0))
    with torch.no_grad():
        network.get_parameter("classifier.1.bias").add_(strength * log_shares(faces.labels) if strength else 0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = MOMENTUM
    return quicken(network), metadata


def _course(run: Further, network: nn.Module, faces: Faces, told: Path) -> Course:
    device, stage = torch.device(run.device), STAGES[run.stage]
    said, others_said = map(torch.from_numpy, read_answers(told, faces))
    clear = torch.from_numpy(shows_face(faces.votes))
    images = torch.from_numpy(faces.images)[clear].to(device)
    targets = targets_of(stage, faces, said)[clear].to(device)
    others, others_said = torch.from_numpy(faces.extra).to(device), others_said.to(device)
    extra = run.extra if len(others) else 0
    draw = Draw(torch.arange(len(images), device=device), min(run.batch - extra, len(images)))
    drawn = torch.zeros(extra, dtype=torch.int64, device=device)

    def before_step() -> None:
        draw.refill()
        if extra:
            drawn.copy_(torch.multinomial(often(others_said), extra, replacement=True))

    def loss(course: Course) -> Tensor:
        strength = course.strength.clamp(max=stage.geometry)
        views = placed(images[draw.ready][:, None].float(), strength)
        wanted = targets[draw.ready]
        if extra:
            views = torch.cat((views, placed(others[drawn][:, None].float(), strength, EXTRA_ZOOM)))
            wanted = torch.cat((wanted, others_said[drawn] * (1 - SMOOTHING) + SMOOTHING / 7))
        # `disturbed` goes by the place in the batch.
        order = torch.randperm(len(views), device=device)
        views, wanted = lit(views[order]), wanted[order]
        # Faces are measured undisturbed; once the geometry is calm, half of them are.
        untouched = (strength < 1) & (torch.rand(len(views), 1, 1, 1, device=device) < 0.5)
        with course.autocast():
            logits = course.network(normal(torch.where(untouched, views, disturbed(views))))
        return functional.cross_entropy(logits.float(), wanted)

    course = Course(Plan("further", run.learning_rate, run.batch - extra, len(images)), network, loss, device)
    course.before_step = before_step
    return course
