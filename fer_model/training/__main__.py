"""`python -m fer_model.training precision`: the figures in a face detector's card."""

import tempfile
from pathlib import Path

import click

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Measure what `fer-batch evaluate` does not. Training needs `fer-batch train`."""


@main.command()
@click.argument("weights", type=FILE)
@click.option("--data", type=FILE, required=True, help="Photographs with YOLO labels (tar).")
@click.option("--degraded", is_flag=True, help="Blur, dim, compress ... each photograph first (fixed seed).")
@click.option("--quantised", is_flag=True, help="WEIGHTS are the shipped detector in eight bits.")
def precision(weights: Path, data: Path, degraded: bool, quantised: bool) -> None:
    """Measure a face detector: AP50 by the least height of a face that counts."""
    from fer_model.training.datasets.faces import read_photographs, unpack
    from fer_model.training.measurement.measuring import (
        degrade_photographs,
        detector_precision,
        quantised_precision,
    )

    with tempfile.TemporaryDirectory() as folder:
        names = unpack([data], Path(folder))
        photographs = [photograph for name in names for photograph in read_photographs(Path(folder), name)]
        if degraded:
            photographs = degrade_photographs(photographs)
        figures = (
            quantised_precision(weights, photographs, Path(folder))
            if quantised
            else detector_precision(weights, photographs)
        )
        for height, value in figures.items():
            click.echo(f"AP50 of faces at least {height} px high: {value:.4f}")


if __name__ == "__main__":
    main()
