"""`python -m fer_model.training classifier|detector|...`: the trainers in the foreground."""

import logging
from pathlib import Path
from typing import Any

import click


@click.group(context_settings={"show_default": True})
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads to use.  [default: all]")
def main(threads: int | None) -> None:
    """Train and measure the models."""
    import torch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if threads:
        torch.set_num_threads(threads)


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
DATA = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@main.command()
@click.option("--data", type=DATA, required=True, help="fer2013.csv (also .gz, .bz2, .xz, .zip) or a picture folder.")
@click.option("--resize", is_flag=True, help="Make pictures of any size fit.")
@click.option("--cache", type=FOLDER, help="Where decoded pictures are kept for the next run.")
@click.option("--recipe", required=True, help="A name in recipes.py.")
@click.option("--init", type=FILE, help="EfficientNet-B0 features to start from (safetensors).")
@click.option("--epochs", default=300)
@click.option("--batch", default=64)
@click.option("--learning-rate", default=1.5e-3)
@click.option("--seed", default=0)
@click.option("--device", default="cpu")
@click.option("-o", "--output", type=FOLDER, required=True, help="Where checkpoint and best weights go.")
def classifier(data: Path, resize: bool, cache: Path | None, output: Path, init: Path | None, **run: Any) -> None:
    """Train one classifier on Training, choosing the epoch on PublicTest (of a folder: on its validation pictures)."""
    from fer_model.training.classifier import ClassifierRun, train_classifier
    from fer_model.training.data import training_and_validation

    training, validation = training_and_validation(data, cache, resize=resize)
    definition = ClassifierRun(init=str(init) if init else None, **run)
    click.echo(train_classifier(definition, training, validation, output))


@main.command()
@click.option("--data", type=FILE, multiple=True, required=True, help="Photographs with YOLO labels (tar).")
@click.option("--validation", type=FILE, required=True, help="Photographs to choose the epoch on (tar).")
@click.option("--init", type=FILE, required=True, help="Detector weights to start from (safetensors).")
@click.option("--epochs", default=4)
@click.option("--batch", default=16)
@click.option("--learning-rate", default=2e-4)
@click.option("--share", default=0.25, help="How far to go from the start towards the trained weights, 0 to 1.")
@click.option("--seed", default=0)
@click.option("--device", default="cpu")
@click.option("-o", "--output", type=FOLDER, required=True, help="Where checkpoint and best weights go.")
def detector(data: tuple[Path, ...], validation: Path, init: Path, output: Path, **run: Any) -> None:
    """Fine-tune the face detector."""
    from fer_model.training.detector import DetectorRun, train_detector

    click.echo(train_detector(DetectorRun(**run), init, data, validation, output))


@main.command()
@click.argument("weights", type=FILE)
@click.option("--data", type=FILE, required=True, help="Photographs with YOLO labels (tar).")
@click.option("--degraded", is_flag=True, help="Blur, dim, compress ... each photograph first (fixed seed).")
def precision(weights: Path, data: Path, degraded: bool) -> None:
    """Measure a face detector: AP50 by the least height of a face that counts."""
    import tempfile

    from fer_model.training.faces import read_photographs, unpack
    from fer_model.training.measuring import degrade_photographs, detector_precision

    with tempfile.TemporaryDirectory() as folder:
        names = unpack([data], Path(folder))
        photographs = [photograph for name in names for photograph in read_photographs(Path(folder), name)]
        if degraded:
            photographs = degrade_photographs(photographs)
        for height, value in detector_precision(weights, photographs).items():
            click.echo(f"AP50 of faces at least {height} px high: {value:.4f}")


@main.command()
@click.argument("weights", type=FILE, nargs=-1, required=True)
@click.option("--data", type=DATA, required=True, help="fer2013.csv (also .gz, .bz2, .xz, .zip) or a picture folder.")
@click.option("--split", default="PublicTest")
@click.option("--resize", is_flag=True, help="Make pictures of any size fit.")
def ensemble(weights: tuple[Path, ...], data: Path, split: str, resize: bool) -> None:
    """Fit the shares and the temperature of an ensemble, and measure it on the same faces."""
    from fer_model.manifest import given_file
    from fer_model.training.data import read_faces
    from fer_model.training.fitting import fit_and_measure
    from fer_model.training.reports import load_members, member_outputs

    faces = read_faces(data, split, resize=resize)
    members = load_members([given_file(path) for path in weights])
    fit = fit_and_measure(member_outputs(members, faces.images), faces.labels)
    for path, share, accuracy in zip(weights, fit.shares, fit.members, strict=True):
        click.echo(f"{path}: {accuracy:.2f} %, share {share:.4f}")
    click.echo(f"temperature {fit.temperature:.4f}: without and with it,")
    click.echo(f"  cross-entropy {fit.cross_entropy_before:.4f} and {fit.cross_entropy:.4f},")
    click.echo(f"  calibration error {fit.ece_before:.4f} and {fit.ece:.4f}")
    click.echo(f"ensemble: {fit.accuracy:.2f} %")


if __name__ == "__main__":
    main()
