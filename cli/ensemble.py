"""The commands `ensemble ...`: fit."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import data_options, json_option, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from fer_model.networks.manifest import WeightsFile
    from fer_model.training.measurement.fitting import Fit
    from workers.settings import Settings


@click.group()
def ensemble() -> None:
    """Ensembles of classifiers."""


@ensemble.command()
@click.option("--models", "first", multiple=True, metavar="ID...", help="Ids, names or .safetensors files.")
# The values after the first of `--models A B C`.
@click.argument("more", nargs=-1, metavar="")
@data_options(split="PublicTest")
@click.option("--name", help="A name for the ensemble.  [default: made of its content]")
@click.option("--detector", metavar="ID", help="The face detector.  [default: the one in use]")
@json_option
@settings_options("database_url", "device")
def fit(
    settings: "Settings",
    first: tuple[str, ...],
    more: tuple[str, ...],
    data: Path,
    split: str,
    resize: bool,
    name: str | None,
    detector: str | None,
    as_json: bool,
) -> None:
    """Fit an ensemble's weights and temperature.

    Adds the ensemble to the catalogue.
    """
    from cli.connection import prepared_database
    from workers.models.fitting import ensemble_template, keep_ensemble
    from workers.models.subjects import find_classifiers

    if not (references := (*first, *more)):
        raise click.UsageError("Name at least one classifier: --models A B ...")
    database = prepared_database(settings)
    template = ensemble_template(database, settings.models_dir, name, detector)
    members = find_classifiers(database, settings.models_dir, references)
    fitted = _fit(settings, members, data, split, resize)
    models = replace(template, members=members, shares=fitted.shares, temperature=fitted.temperature)
    kept = keep_ensemble(database, settings.models_dir, models, name, fitted_on=f"{split} of {data.name}")
    if as_json:
        say(_as_json(kept, members, fitted))
    else:
        _print(kept, members, fitted)


def _fit(settings: "Settings", members: "tuple[WeightsFile, ...]", data: Path, split: str, resize: bool) -> "Fit":
    from cli.views.terminal import terminal
    from workers.models.fitting import fit_ensemble
    from workers.settings import cache_if_writable

    cache = cache_if_writable(settings.cache_dir)
    with terminal(stderr=True).status("fitting"):
        return fit_ensemble(members, data, split, device=settings.device, cache=cache, resize=resize)


def _as_json(name: str, members: "tuple[WeightsFile, ...]", fit: "Fit") -> str:
    rows = [
        {"name": file.name, "sha256": file.sha256, "share": share, "accuracy": accuracy}
        for file, share, accuracy in zip(members, fit.shares, fit.members, strict=True)
    ]
    figures = {key: value for key, value in asdict(fit).items() if key != "shares"}
    return json.dumps({"ensemble": name, **figures, "members": rows})


def _print(name: str, members: "tuple[WeightsFile, ...]", fit: "Fit") -> None:
    from rich.table import Table

    from cli.views.terminal import terminal

    table = Table("classifier", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("share", justify="right")
    table.add_column("accuracy", justify="right")
    for file, share, accuracy in zip(members, fit.shares, fit.members, strict=True):
        table.add_row(file.name, f"{share:.3f}", f"{accuracy:.2f} %")
    table.add_row("together", "", f"{fit.accuracy:.2f} %", style="bold")
    console = terminal()
    console.print(table)
    console.print(
        "",
        f"Temperature {fit.temperature:.3f}. Without and with it:",
        f"cross-entropy {fit.cross_entropy_before:.4f} and {fit.cross_entropy:.4f}, "
        f"calibration error {fit.ece_before:.4f} and {fit.ece:.4f}.",
        f"All on the {fit.n:,} faces that it was fitted on.",
        *_crossed(fit),
        "",
        f"Kept as {name}. To use it: fer-batch models promote {name}",
        sep="\n",
        soft_wrap=True,
    )


def _crossed(fit: "Fit") -> list[str]:
    if fit.crossed_accuracy is None:
        return []
    figures = f"{fit.crossed_accuracy:.2f} %, cross-entropy {fit.crossed_cross_entropy:.4f}"
    return [f"Each fifth by what was fitted on the others: {figures}, calibration error {fit.crossed_ece:.4f}."]
