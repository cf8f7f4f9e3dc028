"""From weights and labelled faces to the report of `fer-batch evaluate`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fer_model.analysis.ensemble import combine
from fer_model.errors import FerModelError, WeightsError
from fer_model.networks.loading import load_classifier
from fer_model.networks.manifest import WeightsFile
from fer_model.training.classifier import predict
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.training.measurement.complexity import EFFICIENCY, Complexity, complexity, efficiency
from fer_model.training.measurement.evaluation import Evaluation, evaluate
from fer_model.training.measurement.plots import plot_confusion, plot_reliability


@dataclass(frozen=True, slots=True)
class Report:
    """An ensemble's evaluation and its complexity."""

    evaluation: Evaluation
    complexity: Complexity

    @property
    def efficiency(self) -> float:
        """The published table's efficiency; see `complexity.EFFICIENCY`."""
        return efficiency(self.evaluation.accuracy, self.complexity.gmacs)

    def as_dict(self) -> dict[str, Any]:
        """The output of `fer-batch evaluate --json`."""
        figures = self.evaluation.as_dict()
        cost = {"gmacs": self.complexity.gmacs, "efficiency": self.efficiency}
        quality = {name: figures.pop(name) for name in ("accuracy", "ci95", "macro_f1", "ece")}
        return {**quality, **cost, **figures}


def load_members(weights: Sequence[WeightsFile], device: str = "cpu") -> list[nn.Module]:
    """The classifiers in these files, on `cpu` or `cuda:N`.

    Raises:
        WeightsError: a file is missing, has another sha256 than expected, or holds no supported classifier.
        FerModelError: torch cannot use the device.
    """
    for file in weights:
        file.verify()
    members = [load_classifier(file.path) for file in weights]
    try:
        return [member.to(device) for member in members]
    except (AssertionError, RuntimeError) as error:  # torch without CUDA, or a GPU that this torch does not support
        raise FerModelError(f"{device} cannot be used by this torch; use cpu ({error})") from error


def mirrored(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Faces (N, 48, 48) with left and right exchanged."""
    return np.ascontiguousarray(faces[:, :, ::-1])


def member_outputs(
    members: Sequence[nn.Module], images: NDArray[np.uint8], before_batch: Callable[[], None] = lambda: None
) -> NDArray[np.float32]:
    """Each classifier's softmax output (M, N, 7) for (N, 48, 48) grey faces 0..255.

    Raises:
        WeightsError: an output is NaN, so the weights are damaged.
    """
    outputs = np.stack([predict(member, images, before_batch=before_batch) for member in members])
    if not np.isfinite(outputs).all():
        raise WeightsError("the classifier answers with what is not a number; its weights are broken")
    return outputs


def report(
    members: Sequence[nn.Module],
    shares: Sequence[float],
    temperature: float,
    faces: LabelledFaces,
    mirror: bool = False,
    before_batch: Callable[[], None] = lambda: None,
) -> list[Report]:
    """The report on an ensemble; with `mirror` a second one, where each face and its mirror image are averaged.

    The second costs twice the multiply-adds. Exceptions of `before_batch` propagate. Raises `WeightsError` and
    `TrainingDataError`.
    """
    counted = [complexity(member) for member in members]
    gmacs, parameters = sum(each.gmacs for each in counted), sum(each.parameters for each in counted)
    outputs = member_outputs(members, faces.images, before_batch)
    reports = [Report(evaluate(combine(outputs, shares, temperature), faces.labels), Complexity(gmacs, parameters))]
    if mirror:
        of_mirrored = member_outputs(members, mirrored(faces.images), before_batch)
        both = evaluate(combine((outputs + of_mirrored) / 2, shares, temperature), faces.labels)
        reports.append(Report(both, Complexity(2 * gmacs, parameters)))
    return reports


def write_report(folder: Path, report: Report, answer: dict[str, Any], about: dict[str, Any]) -> None:
    """Writes confusion.png, reliability.png and report.json, which has the keys of `answer` and more.

    `about` describes the measurement: `models` and `split`, which form the plots' title, and any
    further entries. Raises `OSError`.
    """
    title = f"{about['models']} on {about['split']}"
    plot_confusion(report.evaluation, folder / "confusion.png", title)
    plot_reliability(report.evaluation, folder / "reliability.png", title)
    bins = report.evaluation.reliability
    details = {
        "parameters": report.complexity.parameters,
        "efficiency_is": EFFICIENCY,
        "reliability": {name: getattr(bins, name).tolist() for name in ("count", "confidence", "accuracy")},
    }
    (folder / "report.json").write_text(json.dumps({**about, **answer, **details}, indent=2) + "\n")
