"""The commands `train ...`: runs are queued jobs; `--local` works on one in the foreground."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from cli.options import DATA, RESIZE, Number, Whole, json_option, settings_options
from cli.standard_streams import outlive_stdout
from cli.views.lines import say
from fer_model.training.definitions import ClassifierRun, DetectorRun
from fer_model.training.recipes import ABLATION, RECIPES

if TYPE_CHECKING:
    from celery import Celery
    from sqlalchemy import Engine as Database

    from results.training import TrainingPlan, TrainingStatus
    from workers.settings import Settings

CLASSIFIER, DETECTOR = ClassifierRun(""), DetectorRun()
"""They hold the options' defaults."""

ALL = "all"
PATH = click.Path(path_type=Path)
DETECTOR_DATA = "A folder or tar file with images/SET/*.jpg and labels/SET/*.txt (YOLO); may be repeated."


@click.group()
def train() -> None:
    """Train models. Runs are queued; workers with `--queues train` work on them."""


def _run_options(defaults: ClassifierRun | DetectorRun) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of both kinds of run, with a kind's own defaults."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(
            (
                click.option("--epochs", type=Whole(1), default=defaults.epochs, help="At most N epochs."),
                click.option("--batch", type=Whole(1), default=defaults.batch, help="Pictures a step."),
                click.option(
                    "--learning-rate", type=Number(0, min_open=True), default=defaults.learning_rate, help="Its peak."
                ),
                click.option("--seed", type=int, default=defaults.seed, help="The same seed gives the same weights."),
                click.option("--device", help="auto, cpu or cuda:0.  [default: the worker's]"),
                click.option("--threads", type=Whole(1), help="CPU threads.  [default: all]"),
                click.option("--name", help="A name for the run and its model."),
                click.option("--wait", is_flag=True, help="Show progress, and return when the run has ended."),
                click.option("--local", is_flag=True, help="Train here and now, with no broker and no worker."),
                settings_options("database_url", "broker_url"),
            )
        ):
            command = option(command)
        return command

    return add


@train.command()
@click.option("--data", type=PATH, required=True, help=DATA)
@click.option(
    "--recipe",
    type=click.Choice([*RECIPES, ALL]),
    metavar="NAME",
    required=True,
    help=f"{', '.join(RECIPES)}; `{ALL}` queues the five of the ablation.",
)
@click.option(
    "--init", default="scratch", metavar="START", help="A .safetensors file, a model's id, `imagenet` or `scratch`."
)
@click.option(
    "--teacher", "teachers", multiple=True, metavar="MODEL", help="Learn from its answers too; may be repeated."
)
@click.option("--patience", type=Whole(1), default=CLASSIFIER.patience, help="End after N epochs without improvement.")
@RESIZE
@_run_options(CLASSIFIER)
def classifier(
    settings: "Settings", data: Path, recipe: str, name: str | None, wait: bool, local: bool, **options: Any
) -> None:
    """Train an emotion classifier. Prints the run's id; with `--recipe all` one a line."""
    from results.training import TrainingPlan
    from workers.training.submitting import existing_path

    recipes = ABLATION if recipe == ALL else (recipe,)
    known = {**asdict(CLASSIFIER), **options, "teachers": list(options["teachers"])}
    definition, epochs = _definition(known), options["epochs"]
    plan = TrainingPlan("classifier", existing_path(data), epochs, definition)
    names = [f"{name}-{each}" if name and recipe == ALL else name for each in recipes]
    plans = [replace(plan, recipe=each, name=called) for each, called in zip(recipes, names, strict=True)]
    _start(settings, plans, wait, local)


@train.command()
@click.option("--data", type=PATH, required=True, multiple=True, help=DETECTOR_DATA)
@click.option("--validation", type=PATH, help="Photographs to choose the epoch on.  [default: see the reference]")
@click.option("--init", default="shipped", metavar="START", help="A .safetensors file, a model's id, or `shipped`.")
@click.option(
    "--share",
    type=Number(0, 1, min_open=True),
    default=DETECTOR.share,
    help="How far to go from the start towards the trained weights.",
)
@_run_options(DETECTOR)
def detector(
    settings: "Settings",
    data: tuple[Path, ...],
    validation: Path | None,
    name: str | None,
    wait: bool,
    local: bool,
    **options: Any,
) -> None:
    """Fine-tune the face detector. Prints the run's id."""
    from results.training import TrainingPlan
    from workers.training.submitting import existing_path

    paths = [existing_path(each) for each in data]
    held_out = existing_path(validation) if validation else None
    known = {**asdict(DETECTOR), **options, "data": paths, "validation": held_out}
    plan = TrainingPlan("detector", ", ".join(paths), options["epochs"], _definition(known), name=name)
    _start(settings, [plan], wait, local)


@train.command()
@click.argument("run", required=False)
@click.option("--wait", is_flag=True, help="Return when the run has ended: 0 if it is done.")
@json_option
@settings_options("database_url")
def status(settings: "Settings", run: str | None, wait: bool, as_json: bool) -> None:
    """The progress of a run, or of the newest one. On a terminal, live until it ends."""
    from cli.connection import current_database, job_or_newest
    from cli.views.following import FINISHED
    from cli.views.training import follow_training, look_up, print_training
    from results.database import reading

    database = current_database(settings)
    with reading(database) as session:
        job_id = job_or_newest(session, run, training=True).id
    state = look_up(database, job_id)
    unfinished = state.state not in FINISHED
    live = unfinished and sys.stdout.isatty() and sys.stderr.isatty() and not as_json
    if live or (wait and unfinished):
        state = follow_training(database, job_id)
    if as_json:
        say(json.dumps(state.as_dict()))
    elif not live:
        print_training(state)
    sys.exit(wait and state.state != "done")


@train.command(name="list")
@click.option("--limit", type=Whole(min=1), default=20, help="Show the N newest.")
@json_option
@settings_options("database_url")
def list_(settings: "Settings", limit: int, as_json: bool) -> None:
    """The training runs, newest first."""
    from cli.connection import current_database
    from results.database import reading
    from results.training import list_runs

    with reading(current_database(settings)) as session:
        runs = list_runs(session, limit=limit)
    if as_json:
        say(json.dumps([{k: v for k, v in each.as_dict().items() if k != "history"} for each in runs]))
    else:
        _print_runs(runs)


def _print_runs(runs: "Sequence[TrainingStatus]") -> None:
    from rich.table import Table

    from cli.views.terminal import print_table

    table = Table(box=None, pad_edge=False)
    # For 80 columns: only the name wraps.
    for title in ("run", "name", "state", "epoch", "best", "model"):
        table.add_column(title, no_wrap=title != "name", min_width={"run": 23, "model": 12}.get(title))
    for each in runs:
        best = "" if each.best_accuracy is None else f"{each.best_accuracy:.2%}"
        progress = f"{each.epoch}/{each.epochs}"
        table.add_row(each.run, each.name or "", each.state, progress, best, each.model or "")
    print_table(table)


def _definition(known: dict[str, Any]) -> dict[str, Any]:
    """The run's definition: all options but those that have a column."""
    return {name: value for name, value in known.items() if name not in ("recipe", "epochs")}


def _start(settings: "Settings", plans: "list[TrainingPlan]", wait: bool, local: bool) -> None:
    from cli.connection import prepared_database
    from workers.queue.app import make_app
    from workers.queue.broker import check_broker
    from workers.training.submitting import settled, submit_training

    outlive_stdout()
    app = make_app(settings)
    if not local:
        check_broker(app)
    database = prepared_database(settings)
    plans = [settled(database, settings.models_dir, plan) for plan in plans]
    if local:
        ended = [_train_here(settings, database, plan) for plan in plans]
    else:
        runs = submit_training(app, database, plans)
        for run in runs:
            say(run)
        ended = _after_queueing(app, database, runs, wait)
    sys.exit(any(state != "done" for state in ended))


def _after_queueing(app: "Celery", database: "Database", runs: list[str], wait: bool) -> list[str]:
    from cli.views.training import follow_training
    from results.training import QUEUE
    from workers.queue.broker import is_served

    if not is_served(app, QUEUE):
        hint = f"Note: no worker serves the queue '{QUEUE}' yet; start one: fer-batch worker --queues {QUEUE}"
        say(hint, err=True)
    return [follow_training(database, run).state for run in runs] if wait else []


def _train_here(settings: "Settings", database: "Database", plan: "TrainingPlan") -> str:
    """Trains in this process; Ctrl-C ends it before the next batch, and the same command continues."""
    from cli.views.training import follow_training, look_up
    from results.errors import ResultsError
    from workers.batch.finishing import finish
    from workers.process import worker_name
    from workers.training.run import train
    from workers.training.submitting import local_training

    run, shard, again = local_training(database, plan)
    say(run)
    if again:
        say("Going on where it was interrupted.", err=True)
    stopping, ended = threading.Event(), threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        # A second signal ends the process at once.
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def show() -> None:
        # What ends it ends the training too, or it does not matter.
        with suppress(ResultsError):
            follow_training(database, run, ended.is_set)

    view = threading.Thread(target=show)
    view.start()
    try:
        mine = train(database, settings, shard, worker_name(), settings.device, stopping.is_set)
        # A run whose process died in every attempt has failed now.
        finish(database, run)
    finally:
        ended.set()
        view.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    status = look_up(database, run)
    if not mine and status.state == "running":
        say(f"Error: {status.worker} is at this run; if it died, try again in a minute.", err=True)
    elif stopping.is_set() and status.state == "running":
        say("Stopped. The same command goes on from the last epoch.", err=True)
        sys.exit(130)
    elif status.state == "running":
        say("Error: the database was away too long. The same command goes on from the last epoch.", err=True)
    return status.state
