"""Tables of models, ensembles and evaluations."""

from collections.abc import Sequence
from typing import Any

from results.tables import Evaluation

Row = dict[str, Any]


def ensembles(rows: Sequence[Row]) -> list[Row]:
    """One row for each ensemble."""
    return [
        {
            "ensemble": row["name"],
            "in use": "yes" if row["in_use"] else "",
            "classifiers": ", ".join(f"{member['share']:.2f} {member['name']}" for member in row["members"]),
            "detector": row["detector"]["name"],
            "accuracy %": row["accuracy"],
            "measured on": row["accuracy_on"],
        }
        for row in rows
    ]


def classifiers(rows: Sequence[Row]) -> list[Row]:
    """One row for each classifier; its accuracy where nothing measured it here is that of its card."""
    return [
        {
            "model": row["name"],
            "recipe": row["recipe"] or "",
            "source": row["source"],
            "accuracy %": row["accuracy"] if row["accuracy"] is not None else _in_training(row),
            "measured on": row["accuracy_on"] or ("PublicTest, in training" if _in_training(row) else None),
            "licence": row["licence"],
            "id": row["id"],
        }
        for row in rows
        if row["kind"] == "classifier"
    ]


def ablation(found: Sequence[tuple[Evaluation, str, str | None]]) -> list[Row]:
    """One row for each evaluation, with its subject's name and recipe.

    Efficiency is accuracy in per cent / (100 x multiply-adds in 10^9), as the published table has it.
    """
    return [
        {
            "subject": name,
            "recipe": recipe or "",
            "set": f"{row.split} of {row.data}",
            "faces": row.n,
            "accuracy %": row.accuracy,
            "from": row.ci_low,
            "to": row.ci_high,
            "macro F1": row.macro_f1,
            "ECE": row.ece,
            "GMACs": row.gmacs,
            "efficiency": row.accuracy / (100 * row.gmacs) if row.gmacs else None,
        }
        for row, name, recipe in found
    ]


def _in_training(row: Row) -> float | None:
    share = row["best_in_training"] or row["facts"].get("validation_accuracy")
    return 100 * share if share else None
