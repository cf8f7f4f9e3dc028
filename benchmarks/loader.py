"""The share of an epoch spent on loading batches: reading faces from the cache, augmenting, mixing targets.

    python -m benchmarks.loader fer2013.csv.xz [FACES [THREADS]]

Decodes the data once into a memory-mapped cache, then trains one epoch per recipe on the first
FACES of them (1500) on THREADS processor cores (1), after a short warm-up epoch. Network,
gradients and validation (a fifth of FACES) are the rest of the epoch. The target is below 5 %.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from fer_model.training.classifier import train_classifier
from fer_model.training.datasets.data import training_and_validation
from fer_model.training.datasets.labelled import LabelledFaces
from fer_model.training.definitions import ClassifierRun, Epoch
from workers.settings import Settings, writable_cache

RECIPES = ("crp", "best", "best_mixed")


def main(data: Path, faces: int = 1500, threads: int = 1) -> None:
    torch.set_num_threads(threads)
    began = time.perf_counter()
    training, validation = training_and_validation(data, writable_cache(Settings().cache_dir))
    print(f"{len(training.labels)} + {len(validation.labels)} faces decoded or mapped: {seconds_since(began)}")
    began = time.perf_counter()
    training_and_validation(data, writable_cache(Settings().cache_dir))
    print(f"mapped again: {seconds_since(began)}")
    training, validation = first(training, faces), first(validation, faces // 5)
    one_epoch("baseline", first(training, 128), first(validation, 64))
    for recipe in RECIPES:
        epoch = one_epoch(recipe, training, validation)
        batches = -(-len(training.labels) // 64)
        loading, whole = (1000 * value / batches for value in (epoch.loading_seconds or 0.0, epoch.seconds))
        print(f"{recipe}: {loading / whole:.2%} of the epoch, {loading:.1f} of {whole:.0f} ms per batch of 64")


def first(faces: LabelledFaces, count: int) -> LabelledFaces:
    """The first faces, still memory-mapped."""
    votes = None if faces.votes is None else faces.votes[:count]
    return replace(faces, images=faces.images[:count], labels=faces.labels[:count], votes=votes)


def one_epoch(recipe: str, training: LabelledFaces, validation: LabelledFaces) -> Epoch:
    """Trains from random weights and discards the result."""
    epochs: list[Epoch] = []
    with tempfile.TemporaryDirectory() as folder:
        run = ClassifierRun(recipe=recipe, epochs=1, batch=64)
        train_classifier(run, training, validation, Path(folder), epochs.append)
    return epochs[0]


def seconds_since(began: float) -> str:
    return f"{time.perf_counter() - began:.2f} s"


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:4]))
