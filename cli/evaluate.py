"""The command `evaluate`: accuracy, calibration and cost on labelled faces."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options import data_options, json_option, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from rich.console import RenderableType
    from sqlalchemy import Engine as Database

    from fer_model.training.measurement.reports import Report
    from workers.models.subjects import Subject
    from workers.settings import Settings


@click.command()
@data_options(split=None)
@click.option("--model", metavar="ID", help="One classifier: an id, a name, or a .safetensors file.")
@click.option("--ensemble", metavar="NAME", help="An ensemble's name, or `shipped`.  [default: the one in use]")
@click.option("--tta", is_flag=True, help="Also average each face and its mirror image, at twice the cost.")
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="A folder for plots."
)
@json_option
@settings_options("database_url", "device")
def evaluate(
    settings: "Settings",
    data: Path,
    split: str,
    resize: bool,
    model: str | None,
    ensemble: str | None,
    tta: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure models on labelled faces: accuracy, calibration, cost. Needs no broker and no database."""
    from cli.connection import database_if_any
    from workers.models.subjects import ensemble_subject, model_subject

    if model is not None and ensemble is not None:
        raise click.UsageError("--model and --ensemble exclude each other.")
    if output:
        output.mkdir(parents=True, exist_ok=True)
    database = database_if_any(settings)
    if model is not None:
        subject = model_subject(database, settings.models_dir, model)
    else:
        subject = ensemble_subject(database, settings.models_dir, ensemble)
    reports = _measure(settings, subject, data, split, resize, tta)
    answer = reports[0].as_dict()
    if tta:
        answer["tta"] = reports[1].as_dict()
    if output:
        from fer_model.training.measurement.reports import write_report

        write_report(output, reports[0], answer, {**subject.as_dict(), "data": data.name, "split": split})
    if as_json:
        say(json.dumps(answer))
    else:
        _print(subject, reports, f"{split} of {data.name}")
    if database is not None:
        _keep(database, settings.models_dir, subject, answer, data, split)


def _measure(
    settings: "Settings", subject: "Subject", data: Path, split: str, resize: bool, tta: bool
) -> "list[Report]":
    from cli.views.terminal import terminal
    from workers.models.evaluating import evaluate
    from workers.settings import cache_if_writable

    cache = cache_if_writable(settings.cache_dir)
    with terminal(stderr=True).status("measuring"):
        return evaluate(subject, data, split, device=settings.device, cache=cache, resize=resize, mirror=tta)


def _keep(
    database: "Database", models_dir: Path, subject: "Subject", answer: dict[str, Any], data: Path, split: str
) -> None:
    from results.errors import ResultsError
    from workers.models.evaluating import keep_evaluation

    try:
        keep_evaluation(database, models_dir, subject, answer, data, split)
    except ResultsError as error:
        # The figures are printed already: an error must not hide them.
        say(f"Note: the evaluation is not kept: {error}", err=True)


def _print(subject: "Subject", reports: "list[Report]", data: str) -> None:
    from cli.views.terminal import safe_text, terminal
    from fer_model.training.measurement.complexity import EFFICIENCY

    console = terminal()
    faces = f"{reports[0].evaluation.n:,} faces"
    console.print(safe_text(subject.name, "bold"), f"on {data}: {faces}", soft_wrap=True)
    for file, share in zip(subject.members, subject.shares, strict=True):
        console.print(f"  {share:.3f} x {file.name}", soft_wrap=True)
    if subject.temperature != 1:
        console.print(f"  temperature {subject.temperature:.3f}")
    console.print("", _figures(reports), "", _classes(reports[0]), "", sep="\n")
    console.print(f"{EFFICIENCY}; fvcore counts them.", soft_wrap=True)


def _figures(reports: "list[Report]") -> "RenderableType":
    from rich.table import Table

    table = Table("", box=None, pad_edge=False, header_style="bold")
    for title in ("accuracy", "95 %", "macro F1", "ECE", "10^9 MACs", "params", "efficiency"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, each in zip(("as it is", "+ mirror"), reports, strict=False):
        figures = each.evaluation
        low, high = figures.ci95
        quality = (f"{figures.accuracy:.2f} %", f"{low:.1f} to {high:.1f}", f"{figures.macro_f1:.3f}")
        cost = (f"{each.complexity.gmacs:.6f}", f"{each.complexity.parameters / 1e6:.2f} M", f"{each.efficiency:.2f}")
        table.add_row(name, *quality, f"{figures.ece:.3f}", *cost)
    return table


def _classes(report: "Report") -> "RenderableType":
    from rich.table import Table

    table = Table("emotion", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("precision", "recall", "F1", "faces"):
        table.add_column(title, justify="right")
    for emotion, row in report.evaluation.per_class.items():
        table.add_row(emotion, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", f"{row.n:,}")
    return table
