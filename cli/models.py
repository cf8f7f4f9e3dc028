"""Commands about weights and ensembles: models list, show, promote, verify, add, pull."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cli.options import json_option, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.group()
def models() -> None:
    """Which weights there are, and which are in use."""


@models.command(name="list")
@json_option
@settings_options("database_url")
def list_(settings: "Settings", as_json: bool) -> None:
    """Ensembles and models: those shipped, and those in the database."""
    from cli.connection import database_if_any
    from cli.views.models import print_overview
    from workers.models.inventory import overview

    found = overview(database_if_any(settings), settings.models_dir)
    if as_json:
        say(json.dumps(found))
        return
    print_overview(found)


@models.command()
@click.argument("reference", metavar="ID|ENSEMBLE")
@json_option
@settings_options("database_url")
def show(settings: "Settings", reference: str, as_json: bool) -> None:
    """All that is known about a model or an ensemble."""
    from cli.connection import database_if_any
    from cli.views.models import print_details
    from workers.models.inventory import details

    found = details(database_if_any(settings), settings.models_dir, reference)
    if as_json:
        say(json.dumps(found))
        return
    print_details(found)


@models.command()
@click.argument("ensemble")
@settings_options("database_url")
def promote(settings: "Settings", ensemble: str) -> None:
    """Use an ensemble from each worker's next shard on.

    `shipped` goes back to the one that came with the program.
    """
    from cli.connection import prepared_database
    from workers.models.store import promote as promote_ensemble

    chosen = promote_ensemble(prepared_database(settings), settings.models_dir, ensemble)
    say(f"{chosen.name} is in use.")


@models.command()
@click.argument("references", nargs=-1, metavar="[ID]...")
@json_option
@settings_options("database_url")
def verify(settings: "Settings", references: tuple[str, ...], as_json: bool) -> None:
    """Check the sha256 of models, or of all that are there.

    Exit code 1 if one is wrong.
    """
    from dataclasses import asdict

    from cli.connection import database_if_any
    from workers.models.inventory import verify as verify_files

    verdicts = verify_files(database_if_any(settings), settings.models_dir, references)
    if as_json:
        say(json.dumps([asdict(verdict) for verdict in verdicts]))
    else:
        for verdict in verdicts:
            say(f"{'✓' if verdict.ok else '✗'} {verdict.id} {verdict.name}: {verdict.problem or verdict.file}")
    sys.exit(not all(verdict.ok for verdict in verdicts))


@models.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="A name for the model.")
@click.option("--kind", type=click.Choice(["classifier", "detector"]), help="What it is.  [default: from the file]")
@click.option("--trust", is_flag=True, help="Open a pickle (.pt), which may run any code.")
@settings_options("database_url")
def add(
    settings: "Settings", file: Path, name: str, kind: Literal["classifier", "detector"] | None, trust: bool
) -> None:
    """Add your own weights to the store. Prints the model's id."""
    from cli.connection import prepared_database
    from workers.models.pulling import add as add_file

    model = add_file(prepared_database(settings), settings.models_dir, file, name, kind, trust=trust)
    if model.name != name:
        say(f"Note: these weights are in the catalogue already, as {model.name} ({model.id}).", err=True)
    say(model.id)


@models.command()
@click.argument("name")
@click.option("--trust", is_flag=True, help="NAME is the address of an Ultralytics checkpoint without a known sha256.")
@settings_options("database_url")
def pull(settings: "Settings", name: str, trust: bool) -> None:
    """Download published weights: yolov12n-face, original."""
    from cli.connection import prepared_database
    from cli.views.downloads import downloads
    from workers.models.pulling import pull as pull_entry

    with downloads() as begin:
        found, ensemble = pull_entry(prepared_database(settings), settings, name, begin, trust=trust)
    for model in found:
        say(f"{model.id} {model.name}")
    say(f"To use it: fer-batch models promote {ensemble}")
