"""Tables of models, ensembles and evaluations."""

from collections.abc import Sequence
from typing import Any

from results.tables import Evaluation
from workers.models.inventory import use_of

Row = dict[str, Any]


def ensembles(rows: Sequence[Row]) -> list[Row]:
    """One row for each ensemble."""
    return [
        {
            "Ensemble": row["name"],
            "In use": use_of(row),
            "Classifiers": ", ".join(f"{member['share']:.2f} {member['name']}" for member in row["members"]),
            "Detector": row["detector"]["name"],
            "Accuracy %": row["accuracy"],
            "Measured on": row["accuracy_on"],
        }
        for row in rows
    ]


def classifiers(rows: Sequence[Row]) -> list[Row]:
    """One row for each classifier; its accuracy where nothing measured it here is that of its card."""
    return [
        {
            "Model": row["name"],
            "Recipe": row["recipe"] or "",
            "Source": row["source"],
            "Accuracy %": row["accuracy"] if row["accuracy"] is not None else _in_training(row),
            "Measured on": row["accuracy_on"] or ("PublicTest, in training" if _in_training(row) else None),
            "Licence": row["licence"],
            "ID": row["id"],
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
            "Subject": name,
            "Recipe": recipe or "",
            "Set": f"{row.split} of {row.data}",
            "Faces": row.n,
            "Accuracy %": row.accuracy,
            "From": row.ci_low,
            "To": row.ci_high,
            "Macro F1": row.macro_f1,
            "ECE": row.ece,
            "GMACs": row.gmacs,
            "Efficiency": row.accuracy / (100 * row.gmacs) if row.gmacs else None,
        }
        for row, name, recipe in found
    ]


def _in_training(row: Row) -> float | None:
    share = row["best_in_training"] or row["facts"].get("validation_accuracy")
    return 100 * share if share else None
