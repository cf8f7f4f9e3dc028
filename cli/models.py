"""Commands about weights and ensembles: models list, show, promote, verify, add, pull."""

import json
import sys
from pathlib import Path
from typing import Literal

import click

from cli.options import connection_options, json_option


@click.group()
def models() -> None:
    """Which weights there are, and which are in use."""


@models.command(name="list")
@json_option
@connection_options(broker=False)
def list_(as_json: bool) -> None:
    """Ensembles and models: those shipped, and those in the database."""
    from cli.connection import database_if_any
    from cli.views.models import print_overview
    from workers.models.inventory import overview

    found = overview(database_if_any())
    if as_json:
        click.echo(json.dumps(found))
        return
    print_overview(found)


@models.command()
@click.argument("reference", metavar="ID|ENSEMBLE")
@json_option
@connection_options(broker=False)
def show(reference: str, as_json: bool) -> None:
    """All that is known about a model or an ensemble."""
    from cli.connection import database_if_any
    from cli.views.models import print_details
    from workers.models.inventory import details

    found = details(database_if_any(), reference)
    if as_json:
        click.echo(json.dumps(found))
        return
    print_details(found)


@models.command()
@click.argument("ensemble")
@connection_options(broker=False)
def promote(ensemble: str) -> None:
    """Use an ensemble from each worker's next shard on; `shipped` goes back to the one that came with the program."""
    from cli.connection import prepared_database
    from workers.models.store import promote as promote_ensemble

    chosen = promote_ensemble(prepared_database(), ensemble)
    click.echo(f"{chosen.name} is in use.")


@models.command()
@click.argument("references", nargs=-1, metavar="[ID]...")
@json_option
@connection_options(broker=False)
def verify(references: tuple[str, ...], as_json: bool) -> None:
    """Check each file's sha256; of all models, if none is named. Exit code 1 if one is wrong."""
    from dataclasses import asdict

    from cli.connection import database_if_any
    from workers.models.inventory import verify as verify_files

    verdicts = verify_files(database_if_any(), references)
    if as_json:
        click.echo(json.dumps([asdict(verdict) for verdict in verdicts]))
    else:
        for verdict in verdicts:
            click.echo(f"{'✓' if verdict.ok else '✗'} {verdict.id} {verdict.name}: {verdict.problem or verdict.file}")
    sys.exit(not all(verdict.ok for verdict in verdicts))


@models.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="A name for the model.")
@click.option("--kind", type=click.Choice(["classifier", "detector"]), help="What it is.  [default: the file tells]")
@click.option("--trust", is_flag=True, help="Open a pickle (.pt), which may run any code.")
@connection_options(broker=False)
def add(file: Path, name: str, kind: Literal["classifier", "detector"] | None, trust: bool) -> None:
    """Take your own weights into the store. Prints the model's id."""
    from cli.connection import prepared_database
    from workers.models.pulling import add as add_file

    model = add_file(prepared_database(), file, name, kind, trust=trust)
    if model.name != name:
        click.echo(f"Note: these weights are in the catalogue already, as {model.name} ({model.id}).", err=True)
    click.echo(model.id)


@models.command()
@click.argument("name")
@click.option("--trust", is_flag=True, help="NAME is the address of an Ultralytics checkpoint that nobody vouches for.")
@connection_options(broker=False)
def pull(name: str, trust: bool) -> None:
    """Download weights that others published: yolov12n-face, original."""
    from cli.connection import prepared_database
    from cli.views.downloads import downloads
    from workers.models.pulling import pull as pull_entry

    with downloads() as begin:
        found, ensemble = pull_entry(prepared_database(), name, begin, trust=trust)
    for model in found:
        click.echo(f"{model.id} {model.name}")
    click.echo(f"To use it: fer-batch models promote {ensemble}")
