"""Where the crops of a job's faces may lie: FER_CROPS_ROOTS."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fer_model.sources.roots import lies_below
from workers.errors import CropsRefusedError
from workers.job_folders import of_job


def check_permitted(parent: object, roots: Sequence[str]) -> None:
    """Raises `CropsRefusedError` if a folder for crops lies outside `roots`; without roots it may lie anywhere."""
    if parent and roots and not any(lies_below(str(parent), root) for root in roots):
        raise CropsRefusedError(f"{parent}: pictures of faces are kept below FER_CROPS_ROOTS only")


def folder_of(options: Mapping[str, Any], job_id: str, roots: Sequence[str]) -> Path | None:
    """The folder of a job's crops, by its options; None if it keeps none. `roots` is where it must lie, if not empty.

    Raises:
        CropsRefusedError: it lies outside FER_CROPS_ROOTS.
        ForgedJobError: `job_id` is not of a job's form.
    """
    parent = options.get("keep_crops")
    check_permitted(parent, roots)
    return of_job(Path(str(parent)), job_id) if parent else None
