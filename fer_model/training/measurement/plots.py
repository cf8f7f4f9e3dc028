"""Plots of an evaluation: the confusion matrix and the reliability diagram, as PNG."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_model.training.measurement.evaluation import BINS, Evaluation
from fer_model.types import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
"""From the palette of Okabe and Ito (2008), which is safe for colour-blind people."""

DOTS_PER_INCH = 150


def plot_confusion(evaluation: Evaluation, path: Path, title: str) -> None:
    """Writes the confusion matrix: faces, and per cent of each label's faces, shaded by the latter."""
    from matplotlib.figure import Figure

    counts = evaluation.confusion
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(7.6, 7), layout="constrained")
    axes = figure.add_subplot()
    shading = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        # White letters on dark squares.
        colour = "white" if share > 65 else "black"
        axes.text(column, row - 0.12, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=12)
        axes.text(column, row + 0.22, f"{share:.0f} %", ha="center", va="center", color=colour, fontsize=9)
    names = [f"{emotion}\n{n:,}" for emotion, n in zip(EMOTIONS, counts.sum(axis=1), strict=True)]
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(EMOTIONS)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("answer", fontsize=11)
    axes.set_ylabel("label, and its number of faces", fontsize=11)
    bar = figure.colorbar(shading, ax=axes, label="per cent of the label's faces", shrink=0.75, pad=0.02)
    bar.outline.set_visible(False)
    low, high = evaluation.ci95
    figure.suptitle(
        f"{title}\naccuracy {evaluation.accuracy:.2f} % (95 %: {low:.2f} to {high:.2f}), {evaluation.n:,} faces"
    )
    figure.savefig(path, dpi=DOTS_PER_INCH)


def plot_reliability(evaluation: Evaluation, path: Path, title: str) -> None:
    """Writes the reliability diagram: accuracy by confidence, and below it the histogram of confidence."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6.8), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    _draw_accuracy(upper, evaluation)
    edges = np.linspace(0, 1, BINS + 1)
    lower.bar(edges[:-1], evaluation.reliability.count, 1 / BINS, align="edge", color=GREY, edgecolor="white")
    lower.set_ylabel("faces", fontsize=11)
    lower.set_xlabel("confidence: probability of the answer", fontsize=11)
    lower.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{title}\nexpected calibration error {evaluation.ece:.3f}, {evaluation.n:,} faces")
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_accuracy(axes: "Axes", evaluation: Evaluation) -> None:
    bins, edges = evaluation.reliability, np.linspace(0, 1, BINS + 1)
    filled = bins.count > 0
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="as sure as right")
    axes.bar(edges[:-1], bins.accuracy, 1 / BINS, align="edge", color=BLUE, edgecolor="white", label="accuracy")
    axes.plot(
        bins.confidence[filled], bins.confidence[filled], "o", color=ORANGE, markersize=5, label="mean confidence"
    )
    axes.vlines(bins.confidence[filled], bins.accuracy[filled], bins.confidence[filled], color=ORANGE, linewidth=2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of right answers", fontsize=11)
    axes.legend(loc="upper left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
