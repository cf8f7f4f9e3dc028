"""Models and ensembles in the terminal: tables, and the details of one."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.views.lines import say
from cli.views.terminal import safe_text, terminal
from workers.models.inventory import use_of

Row = dict[str, Any]

UNLIMITED = 10_000
SHARES = ("accuracy", "ap50")
"""Prefixes and suffixes of names whose values, 0 to 1, are shown in per cent."""


def print_overview(found: Row) -> None:
    """Ensembles, then models by kind."""
    console = terminal()
    _print(console, _ensembles(found["ensembles"], lines=console.is_terminal))
    for kind in ("classifier", "detector"):
        if rows := [row for row in found["models"] if row["kind"] == kind]:
            console.print()
            _print(console, _models(kind, rows))


def print_details(found: Row) -> None:
    """The result of `inventory.details`, one line for each value, and the card."""
    card = found.pop("card", None)
    # They are part of each evaluation.
    for name in ("accuracy", "accuracy_on"):
        found.pop(name, None)
    for name, value in found.items():
        if value not in (None, [], {}):
            for line in _lines(name, value):
                say(line)
    if card:
        for line in ("", *card.rstrip().split("\n")):
            say(line)


def _ensembles(rows: Iterable[Row], lines: bool) -> Table:
    table = _table("ensemble", "in use", "detector", "classifiers")
    for row in rows:
        members = [safe_text(f"{member['share']:.2f} {member['name']}") for member in row["members"]]
        classifiers = Text("\n" if lines else ", ").join(members)
        table.add_row(row["name"], use_of(row), row["detector"]["name"], classifiers, _accuracy(row))
    return table


def _models(kind: str, rows: Iterable[Row]) -> Table:
    table = _table(kind, "name", "source", "recipe")
    for row in rows:
        table.add_row(row["id"], row["name"], row["source"], row["recipe"] or "", _accuracy(row))
    return table


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=True)
    table.add_column("accuracy")
    return table


def _print(console: Console, table: Table) -> None:
    """As wide as the names need, so that they can be copied; nothing wraps where there is no terminal."""
    narrowest = Measurement.get(console, console.options.update(max_width=UNLIMITED), table).minimum
    console.width = max(console.width, narrowest) if console.is_terminal else UNLIMITED
    console.print(table)


def _accuracy(row: Row) -> str:
    if row["accuracy"] is not None:
        split, _, data = row["accuracy_on"].partition(" of ")
        return f"{row['accuracy']:.1f} % on {split} of {Path(data).name}"
    facts = row.get("facts", {})
    if (best := row.get("best_in_training") or facts.get("validation_accuracy")) is not None:
        return f"{best:.1%} in training".replace("%", " %")
    if (ap50 := facts.get("ap50_from_10_px")) is not None:
        return f"AP50 {100 * ap50:.1f} % in training"
    return ""


def _lines(name: str, value: Any) -> Iterator[str]:
    title = name.replace("_", " ")
    if name == "evaluations":
        yield f"{title}:"
        yield from (f"  {_evaluation(row)}" for row in value)
    elif name == "members":
        yield f"{title}:"
        yield from (f"  {row['share']:.3f} {row['name']} ({row['id']})" for row in value)
    elif name == "detector":
        yield f"{title}: {value['name']} ({value['id']})"
    elif isinstance(value, dict):
        yield f"{title}:"
        for key, each in value.items():
            yield from (f"  {line}" for line in _lines(key, each))
    else:
        yield f"{title}: {_value(name, value)}"


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        is_share = name.startswith(SHARES) or name.endswith(SHARES) or name == "best_in_training"
        return f"{100 * value:.1f} %" if is_share else f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def _evaluation(row: Row) -> str:
    return (
        f"{row['accuracy']:.1f} % ({row['ci_low']:.1f} to {row['ci_high']:.1f}) on {row['split']} of {row['data']}: "
        f"{row['n']:,} faces, macro F1 {row['macro_f1']:.3f}, calibration error {row['ece']:.3f}, "
        f"{row['gmacs']:.4f} * 10^9 multiply-adds, {row['at'][:10]}"
    )
