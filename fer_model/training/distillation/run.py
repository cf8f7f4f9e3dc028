"""The two phases: teachers, each without its own fold of Training (cross-fitting: Dao et al., ICLR 2021), then pupils.

Every batch of a pupil has as many rows of each fold. A row's clear view is shown to the teacher that never saw its
fold, the disturbed one to the pupil (the same view: Beyer et al., CVPR 2022). Unlabelled faces are shown to all
teachers. A second head learns the FER+ votes and is dropped when the weights are saved.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fer_model.networks.classifiers import VARIANTS, classifier_network
from fer_model.networks.loading import SIDE_KEY, save_weights, start_classifier
from fer_model.preprocess import FACE_SIZE, normalise
from fer_model.training.datasets.ferplus import shows_face
from fer_model.training.depthwise import quicken
from fer_model.training.distillation.loop import Course, Plan, train
from fer_model.training.distillation.pack import EXTRA_ZOOM, Faces, boxed
from fer_model.training.distillation.teacher import Teacher
from fer_model.training.distillation.views import disturbed, lit, mixed, placed

SMOKE_S = 40.0
"""Seconds of a trial."""


@dataclass(frozen=True, slots=True)
class Distillation:
    """A run. `seconds` in all, `share` of them for the teachers; `pupils` name variants, `starts` their weights.

    `taught` is the weight of the teacher's answer against the label's, `voted` that of the FER+ votes inside the
    label's, `tagging` the weight of the second head's loss. With `answers`, as `read_answers` gives those of an earlier
    run, no teachers are trained: each row is taught by what the teacher without it answered then.
    """

    seconds: float
    pupils: Sequence[str] = ("large-maps", "middle-maps")
    starts: dict[str, Path] = field(default_factory=dict)
    answers: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    folds: int = 4
    share: float = 0.4
    batch: int = 512
    teacher_batch: int = 256
    teacher_width: int = 64
    extra: int = 64
    taught: float = 0.65
    voted: float = 0.35
    smoothing: float = 0.05
    tagging: float = 0.3
    seed: int = 1
    device: str = "cuda"


class Rows:
    """The faces on the device, with targets and folds."""

    def __init__(self, faces: Faces, run: Distillation) -> None:
        device = torch.device(run.device)
        clear = shows_face(faces.votes)
        self.images = torch.from_numpy(faces.images[clear]).to(device)
        self.labels = torch.from_numpy(faces.labels[clear]).to(device)
        self.kept = np.nonzero(clear)[0]
        votes = torch.from_numpy(faces.votes[clear]).float().to(device)
        self.votes = votes / votes.sum(1, keepdim=True).clamp_min(1)
        hard = functional.one_hot(self.labels, 7).float() * (1 - run.smoothing) + run.smoothing / 7
        self.targets = hard.lerp(torch.from_numpy(faces.soft[clear]).to(device), run.voted)
        self.extra_answers = None
        if run.answers:
            # The file has all rows of Training, also those that FER+ calls no face.
            said, extra = run.answers
            self.targets = self.targets.lerp(torch.from_numpy(said[clear]).to(device), run.taught)
            self.extra_answers = torch.from_numpy(extra[: len(faces.extra)]).to(device)
        self.public = torch.from_numpy(faces.public).to(device)
        self.public_labels = torch.from_numpy(faces.public_labels).to(device)
        self.extra = torch.from_numpy(faces.extra).to(device)
        # The same photograph is in one fold, else its teacher has seen what it is asked about.
        self.fold = torch.from_numpy((faces.groups[clear] * 2654435761) % 1000003 % run.folds).to(device)
        self.members = [torch.nonzero(self.fold == fold)[:, 0] for fold in range(run.folds)]

    def __len__(self) -> int:
        return len(self.images)


class Draw:
    """Rows without replacement: `ready` holds `count` of them; call `refill` before each step, outside a graph."""

    def __init__(self, rows: Tensor, count: int) -> None:
        self.rows, self.count = rows, count
        self.ready = rows[torch.randperm(len(rows), device=rows.device)][:count].clone()
        if len(rows) < count:
            raise ValueError(f"{len(rows)} rows are fewer than the {count} of a batch")
        self.order, self.place = self.rows, len(self.rows)

    def refill(self) -> None:
        """Puts the next rows where a captured step reads them."""
        if self.place + self.count > len(self.order):
            self.order, self.place = self.rows[torch.randperm(len(self.rows), device=self.rows.device)], 0
        self.ready.copy_(self.order[self.place : self.place + self.count])
        self.place += self.count


def normal(images: Tensor) -> Tensor:
    """Normalised, in the layout of the convolutions."""
    normalised: Tensor = normalise(images)
    return normalised.contiguous(memory_format=torch.channels_last)


def teacher_course(run: Distillation, rows: Rows, fold: int) -> Course:
    """Teacher number `fold`, which sees the rows of all other folds."""
    torch.manual_seed(run.seed * 1000 + fold)
    mine = torch.nonzero(rows.fold != fold)[:, 0]
    draw = Draw(mine, min(run.teacher_batch, len(mine)))

    def loss(course: Course) -> Tensor:
        images = disturbed(lit(placed(rows.images[draw.ready][:, None].float(), course.strength)))
        both = torch.cat((rows.targets[draw.ready], rows.votes[draw.ready]), 1)
        both, images = mixed(1, 0.5, both, images)
        with course.autocast():
            logits, tags = course.network(normal(images))
        return _cross_entropy(logits, both[:, :7]) + run.tagging * _cross_entropy(tags, both[:, 7:])

    plan = Plan(f"teacher {fold}", 2e-3, draw.count, len(mine))
    network = Teacher(residual=fold % 2 == 1, width=run.teacher_width)
    course = Course(plan, network, loss, torch.device(run.device))
    course.before_step = draw.refill
    return course


class Pupil(nn.Module):
    """A classifier with a second head for the votes."""

    def __init__(self, variant: str, start: Path | None) -> None:
        super().__init__()
        # Faster on a CPU, no difference on a GPU.
        self.network = quicken(classifier_network(variant=VARIANTS[variant], dropout=0.1, drop_path=0.05))
        if start:
            start_classifier(self.network, start)
        self.tags = nn.Linear(VARIANTS[variant].head, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, 7) of the emotions and (n, 10) of the votes."""
        pooled = self.network.get_submodule("features")(images).mean((2, 3))
        return self.network.get_submodule("classifier")(pooled), self.tags(pooled)


def pupil_course(
    run: Distillation, rows: Rows, teachers: Sequence[nn.Module], number: int, weights: Tensor | None
) -> Course:
    """Pupil `number`; `weights` are how often each unlabelled face is drawn. Without teachers, labels alone."""
    torch.manual_seed(run.seed * 2000 + number)
    device = torch.device(run.device)
    name = run.pupils[number]
    extra = run.extra if len(rows.extra) and weights is not None else 0
    each = min((run.batch - extra) // run.folds, *map(len, rows.members))
    draws = [Draw(members, each) for members in rows.members]
    others = torch.zeros(max(extra, 1), dtype=torch.int64, device=device)
    known = each * run.folds
    # The second pupil mixes more, so that the two differ.
    share = (0.4, 0.75)[number]

    def before_step() -> None:
        for draw in draws:
            draw.refill()
        if extra and weights is not None:
            others.copy_(torch.multinomial(weights, extra, replacement=True))

    def loss(course: Course) -> Tensor:
        chosen = torch.cat([draw.ready for draw in draws])
        both = torch.cat((rows.targets[chosen], rows.votes[chosen]), 1)
        clear = lit(placed(rows.images[chosen][:, None].float(), course.strength))
        both, clear, rough = mixed(run.folds, share, both, clear, disturbed(clear))
        if extra:
            more = lit(placed(rows.extra[others][:, None].float(), course.strength, EXTRA_ZOOM))
            clear, rough = torch.cat((clear, more)), torch.cat((rough, disturbed(more)))
        targets = both[:, :7]
        if teachers:
            targets = taught(normal(clear), targets)
        elif extra and rows.extra_answers is not None:
            targets = torch.cat((targets, rows.extra_answers[others]))
        with course.autocast():
            logits, tags = course.network(normal(rough))
        return _cross_entropy(logits, targets) + run.tagging * _cross_entropy(tags[:known], both[:, 7:])

    @torch.no_grad()
    def taught(clear: Tensor, targets: Tensor) -> Tensor:
        with course.autocast():
            own = [teacher(clear[k * each : (k + 1) * each])[0] for k, teacher in enumerate(teachers)]
            more = [teacher(clear[known:])[0].float().softmax(1) for teacher in teachers] if extra else []
        answers = targets.lerp(torch.cat(own).float().softmax(1), run.taught)
        return torch.cat((answers, torch.stack(more).mean(0))) if extra else answers

    start = run.starts.get(name)
    plan = Plan(f"pupil {number} {name}", 1.5e-3 if start else 3e-3, known, len(rows))
    course = Course(plan, Pupil(name, start), loss, device)
    course.before_step = before_step
    return course


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), targets)


@torch.inference_mode()
def answers(network: Callable[[Tensor], Sequence[Tensor]], images: Tensor, mirrored: bool = False) -> Tensor:
    """Probabilities (N, 7) for grey pictures (N, 48, 48) 0..255; the mean of picture and mirror if asked.

    The first that `network` gives is logits (n, 7).
    """
    found = []
    for start in range(0, len(images), 1024):
        view = normal(images[start : start + 1024][:, None].float())
        with torch.autocast("cuda", torch.bfloat16, enabled=images.is_cuda):
            each = network(view)[0].float().softmax(1)
            if mirrored:
                each = (each + network(view.flip(3))[0].float().softmax(1)) / 2
        found.append(each)
    return torch.cat(found)


def accuracy(probabilities: Tensor, labels: Tensor) -> float:
    """Per cent of right answers."""
    return round(100 * float((probabilities.argmax(1) == labels).float().mean()), 2)


def distil(run: Distillation, faces: Faces, output: Path) -> list[dict[str, Any]]:
    """Trains teachers and pupils, writes pupils, out-of-fold answers and `log.json` into `output`; gives the log."""
    began = time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    for name, start in run.starts.items():
        # A file that does not fit ends the run now, not after the teachers.
        Pupil(name, start)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    rows = Rows(faces, run)
    log: list[dict[str, Any]] = []

    def look(course: Course, progress: float) -> None:
        right = accuracy(answers(course.average, rows.public), rows.public_labels)
        figures = {"steps": course.steps, "epochs": round(course.epochs, 1), "loss": round(float(course.last), 4)}
        log.append({"name": course.plan.name, "progress": round(progress, 3), **figures, "public": right})
        print(round(time.monotonic() - began), log[-1], flush=True)
        (output / "log.json").write_text(json.dumps(log))

    teachers: list[nn.Module] = []
    weights = None if rows.extra_answers is None else often(rows.extra_answers)
    if not run.answers:
        courses = [teacher_course(run, rows, fold) for fold in range(run.folds)]
        for course in courses:
            course.capture()
        print(round(time.monotonic() - began), "teachers are ready", flush=True)
        train(courses, run.seconds * run.share, 3, look, began)
        teachers = [course.average.eval() for course in courses]
        weights = _ask(run, rows, teachers, faces, output)
        del courses
    courses = [pupil_course(run, rows, teachers, number, weights) for number in range(len(run.pupils))]
    for course in courses:
        course.capture()
    print(round(time.monotonic() - began), "pupils are ready", flush=True)
    begun = time.monotonic()
    # Not less than a second: where getting ready took all of the time, each pupil still makes a step.
    train(courses, max(run.seconds - (begun - began), 1.0), 6, look)
    save(run, rows, courses, log, output)
    return log


def smoke(run: Distillation, faces: Faces, rows: int = 800) -> tuple[Distillation, Faces]:
    """The same in small, to see within a minute on a CPU that it runs."""
    said = run.answers and (run.answers[0][:rows], run.answers[1][:100])
    few = Faces(
        faces.images[:rows],
        faces.labels[:rows],
        faces.soft[:rows],
        faces.votes[:rows],
        faces.groups[:rows],
        faces.public[:200],
        faces.public_labels[:200],
        faces.extra[:100],
    )
    return replace(
        run, seconds=min(run.seconds, SMOKE_S), answers=said, batch=64, teacher_batch=32, extra=8, teacher_width=8
    ), few


def _ask(run: Distillation, rows: Rows, teachers: Sequence[nn.Module], faces: Faces, output: Path) -> Tensor | None:
    """Writes what the teachers say; gives how often each unlabelled face is to be drawn."""
    unseen = torch.zeros(len(rows), 7, device=rows.images.device)
    for fold, teacher in enumerate(teachers):
        unseen[rows.members[fold]] = answers(teacher, rows.images[rows.members[fold]], mirrored=True)
    print("teachers on rows they never saw:", accuracy(unseen, rows.labels))
    said = torch.stack([answers(teacher, rows.public) for teacher in teachers]).mean(0)
    print("teachers together on PublicTest:", accuracy(said, rows.public_labels), flush=True)
    whole = np.zeros((len(faces.labels), 7), np.float16)
    whole[rows.kept] = unseen.half().cpu().numpy()
    if not len(rows.extra):
        np.savez_compressed(output / "answers.npz", training=whole, extra=np.zeros((0, 7), np.float16))
        return None
    plain = torch.from_numpy(boxed(faces.extra)).to(rows.extra.device)
    others = torch.stack([answers(teacher, plain, mirrored=True) for teacher in teachers]).mean(0)
    np.savez_compressed(output / "answers.npz", training=whole, extra=others.half().cpu().numpy())
    print("unlabelled faces:", [round(float(each), 3) for each in others.mean(0)], flush=True)
    return often(others)


def often(answers: Tensor) -> Tensor:
    """How often each face is drawn: rare emotions more often, in proportion to one over the root of their share."""
    return (answers / answers.mean(0).clamp_min(1e-3).sqrt()).sum(1)


def save(run: Distillation, rows: Rows, courses: list[Course], log: list[dict[str, Any]], output: Path) -> None:
    """Writes each pupil's averaged weights, and tells how the pupils do together."""
    said = []
    for number, (name, course) in enumerate(zip(run.pupils, courses, strict=True)):
        said.append(answers(course.average, rows.public))
        accuracies = {"validation_accuracy": str(accuracy(said[-1], rows.public_labels) / 100)}
        epoch = {"best_epoch": str(round(course.epochs))}
        network = course.average.get_submodule("network")
        metadata = {SIDE_KEY: str(FACE_SIZE), **VARIANTS[name].metadata, **epoch, **accuracies}
        save_weights(network.float().cpu(), output / f"pupil-{number}-{name}.safetensors", metadata)
    for one in range(len(said)):
        for other in range(one + 1, len(said)):
            together = accuracy(said[one] + said[other], rows.public_labels)
            log.append({"name": f"{run.pupils[one]} and {run.pupils[other]}", "public": together})
            print(log[-1], flush=True)
    (output / "log.json").write_text(json.dumps(log))
