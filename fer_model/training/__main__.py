"""`python -m fer_model.training`: what `fer-batch train` and `evaluate` do not: distillation and more figures.

Imports torch, torchvision, NumPy, OpenCV, Pillow and safetensors alone, so that it runs on a machine that has a GPU and
nothing else of the project's dependencies.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fer_model.errors import FerModelError, TrainingDataError
from fer_model.networks.manifest import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fer_model.training.datasets.faces import LabelledPhotograph
    from fer_model.training.measurement.measuring import Detect


def main(words: list[str] | None = None) -> None:
    """Runs one command."""
    parser = argparse.ArgumentParser(prog="python -m fer_model.training", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _precision(commands.add_parser("precision", help="A face detector: AP50 by the least height of a face."))
    _closeups(commands.add_parser("closeups", help="A face detector: faces that fill the picture, by group."))
    _pack(commands.add_parser("pack", help="FER-2013 and unlabelled faces as a small folder for `distil`."))
    _distil(commands.add_parser("distil", help="Train cross-fitted teachers and two pupils in a given time."))
    _further(commands.add_parser("further", help="Train a classifier on by stored answers, on a processor."))
    _stability(commands.add_parser("stability", help="How often a disturbed face keeps its label, by group."))
    _adjust(commands.add_parser("adjust", help="Make a classifier find rare emotions more often (logit adjustment)."))
    arguments = parser.parse_args(words)
    try:
        arguments.action(arguments)
    except (FerModelError, OSError, ValueError) as error:
        sys.exit(f"Error: {error}")


def _number(most: float = math.inf) -> Callable[[str], float]:
    """A type of argument: a number above 0 and below `most`."""

    def number(text: str) -> float:
        if not 0 < (value := float(text)) < most:
            raise argparse.ArgumentTypeError(f"{text} is not above 0 and below {most:g}")
        return value

    return number


def _precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="Photographs with YOLO labels (tar).")
    parser.add_argument("--degraded", action="store_true", help="Blur, dim, compress ... each photograph first.")
    parser.add_argument("--quantised", action="store_true", help="WEIGHTS are the shipped detector in eight bits.")
    parser.set_defaults(action=precision)


def _closeups(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="Photographs with YOLO labels and groups.csv (tar).")
    parser.add_argument(
        "--by", default="race", help="The column of groups.csv (image, race, ...) that names the group."
    )
    parser.add_argument("--cut", type=_number(1), help="Cut this share of the face's side off at the picture's edge.")
    parser.add_argument("--quantised", action="store_true", help="WEIGHTS are the shipped detector in eight bits.")
    parser.set_defaults(action=closeups)


def _pack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="fer2013.csv(.xz), with fer2013new.csv (the FER+ votes) beside it.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--extra", type=Path, help="Unlabelled faces: a zip of grey pictures of 64x64.")
    parser.set_defaults(action=pack)


def _distil(parser: argparse.ArgumentParser) -> None:
    from fer_model.networks.classifiers import VARIANTS

    pupils = ["large-maps", "middle-maps"]
    parser.add_argument("pack", type=Path, help="A folder that `pack` made.")
    parser.add_argument("folder", type=Path, help="Where the weights and the log go.")
    parser.add_argument("--seconds", type=_number(), default=560)
    parser.add_argument("--pupils", nargs=2, choices=VARIANTS, default=pupils, help="Variants of EfficientNet-B0.")
    parser.add_argument("--answers", type=Path, help="Teachers' answers of an earlier run, in place of teachers.")
    parser.add_argument("--share", type=_number(1), default=0.4, help="The teachers' share of the time, below 1.")
    parser.add_argument(
        "--start", type=_start, action="append", default=[], metavar="VARIANT=FILE", help="A pupil's initial weights."
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="A few rows and small networks: does it run?")
    parser.set_defaults(action=distil)


def _start(words: str) -> tuple[str, Path]:
    variant, _, path = words.partition("=")
    return variant, Path(path)


def _further(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, help="The classifier to start from.")
    parser.add_argument("data", type=Path, help="fer2013.csv(.xz), with fer2013new.csv (the FER+ votes) beside it.")
    parser.add_argument("output", type=Path, help="Where the weights go.")
    parser.add_argument("--extra", type=Path, help="Unlabelled faces: a zip of grey pictures of 64x64.")
    parser.add_argument(
        "--answers", type=Path, required=True, help="Teachers' answers, of `distil`, in the same order."
    )
    parser.add_argument("--seconds", type=_number(), default=6000)
    parser.add_argument(
        "--stage", choices=("answers", "labels"), default="answers", help="What weighs most; first the answers."
    )
    parser.add_argument("--learning-rate", type=_number(), default=6e-4, help="At its peak.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.set_defaults(action=train_further)


def _stability(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("faces", type=Path, help="A zip of grey faces of 64x64 and faces.csv (image, race, ...).")
    parser.add_argument("--models", type=Path, default=SHIPPED, help="A folder with a manifest.json.")
    parser.add_argument("--by", default="race", help="The column of faces.csv that names the group.")
    parser.set_defaults(action=show_stability)


def _adjust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="fer2013.csv(.xz), by which it was trained.")
    parser.add_argument("--strength", type=float, default=0.5, help="Above 0, at most 1 (wholly).")
    parser.set_defaults(action=adjust)


def precision(arguments: argparse.Namespace) -> None:
    """Prints a face detector's average precision."""
    from fer_model.training.datasets.faces import read_photographs, unpack
    from fer_model.training.measurement import measuring

    with tempfile.TemporaryDirectory() as folder:
        names = unpack([arguments.data], Path(folder))
        photographs = [photograph for name in names for photograph in read_photographs(Path(folder), name)]
        if arguments.degraded:
            photographs = measuring.degrade_photographs(photographs)
        for height, value in measuring.precision(_detector(arguments, Path(folder)), photographs).items():
            print(f"AP50 of faces at least {height} px high: {value:.4f}")


def closeups(arguments: argparse.Namespace) -> None:
    """Prints the share of close-ups that a face detector finds, of those that the shipped one was not trained on."""
    import csv

    from fer_model.training.datasets.faces import read_photograph, unpack
    from fer_model.training.measurement import measuring

    kept = set(Path(measuring.__file__).with_name("closeups.txt").read_text().split())
    with tempfile.TemporaryDirectory() as folder:
        unpack([arguments.data], Path(folder))
        with (Path(folder) / "groups.csv").open(newline="") as rows:
            table = csv.DictReader(rows)
            if absent := {"image", arguments.by} - set(table.fieldnames or ()):
                raise TrainingDataError(f"{arguments.data}: groups.csv has no column {min(absent)!r}")
            groups = {row["image"]: row[arguments.by] for row in table if row["image"] in kept}
        paths = (path for path in sorted((Path(folder) / "images").glob("*/*")) if path.name in groups)
        photographs: Iterable[LabelledPhotograph] = map(read_photograph, paths)
        if arguments.cut is not None:
            photographs = measuring.cut_photographs(photographs, arguments.cut)
        shares = measuring.shares_found(_detector(arguments, Path(folder)), photographs, groups)
    if not shares:
        raise TrainingDataError(f"{arguments.data}: holds none of the close-ups that are measured")
    for group, (share, count) in shares.items():
        print(f"{group}: {100 * share:.1f} % of {count}")
    total = sum(count for _, count in shares.values())
    print(f"all: {100 * sum(share * count for share, count in shares.values()) / total:.1f} % of {total}")


def _detector(arguments: argparse.Namespace, cache: Path) -> "Detect":
    from fer_model.training.measurement import measuring

    if arguments.quantised:
        return measuring.quantised_detector(arguments.weights, cache)
    return measuring.float_detector(arguments.weights)


def pack(arguments: argparse.Namespace) -> None:
    """Packs the data for a machine that has no network."""
    from fer_model.training.distillation.pack import read_sources, write_pack

    write_pack(read_sources(arguments.data, arguments.extra), arguments.folder)
    size = sum(path.stat().st_size for path in arguments.folder.iterdir())
    print(f"{arguments.folder}: {size / 2**20:.1f} MiB")


def show_stability(arguments: argparse.Namespace) -> None:
    """Prints, for each disturbance, the share of faces that keep their label."""
    from fer_model.networks.manifest import read_models
    from fer_model.training.distillation.pack import boxed, read_faces
    from fer_model.training.measurement.reports import load_members
    from fer_model.training.measurement.stability import stability

    models = read_models(arguments.models)
    faces, groups = read_faces(arguments.faces, arguments.by)
    for name, shares in stability(load_members(models.members), models.shares, boxed(faces), groups).items():
        print(f"{name:7}" + "".join(f"  {group} {100 * share:.1f} %" for group, share in shares.items()))


def adjust(arguments: argparse.Namespace) -> None:
    """Adjusts a classifier to the shares of the emotions in `Training`."""
    from fer_model.training import priors
    from fer_model.training.datasets.fer2013 import read_fer2013

    labels = read_fer2013(arguments.data, "Training").labels
    priors.adjust(arguments.weights, labels, arguments.strength, arguments.output)


def distil(arguments: argparse.Namespace) -> None:
    """Trains teachers and pupils."""
    from fer_model.engines import actual_device
    from fer_model.training.distillation.pack import read_answers, read_pack
    from fer_model.training.distillation.run import Distillation, distil, smoke

    starts = dict(arguments.start)
    if unknown := set(starts) - set(arguments.pupils):
        pupils = " and ".join(arguments.pupils)
        raise ValueError(f"--start names {min(unknown)!r}, which is none of the pupils {pupils}")
    faces = read_pack(arguments.pack)
    run = Distillation(
        arguments.seconds,
        arguments.pupils,
        starts,
        answers=read_answers(arguments.answers, faces) if arguments.answers else None,
        share=arguments.share,
        seed=arguments.seed,
        device=actual_device(arguments.device),
    )
    distil(*smoke(run, faces) if arguments.smoke else (run, faces), arguments.folder)


def train_further(arguments: argparse.Namespace) -> None:
    """Trains a classifier on."""
    from fer_model.engines import actual_device
    from fer_model.training.distillation.further import Further, further
    from fer_model.training.distillation.pack import read_sources

    device = actual_device(arguments.device)
    run = Further(arguments.seconds, arguments.stage, arguments.learning_rate, seed=arguments.seed, device=device)
    faces = read_sources(arguments.data, arguments.extra)
    further(run, arguments.weights, faces, arguments.answers, arguments.output)


if __name__ == "__main__":
    main()
