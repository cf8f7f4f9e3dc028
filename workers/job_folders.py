"""Folders named by jobs: a row with a forged id must not lead elsewhere, where files would be written or deleted."""

import re
from pathlib import Path

from workers.errors import ForgedJobError


def of_job(folder: Path, job_id: str) -> Path:
    """The folder of a job below `folder`.

    Raises:
        ForgedJobError: the id is not of the form that `results.tables.new_job_id` gives.
    """
    if not re.fullmatch(r"[0-9]{8}T[0-9]{9}-[0-9a-f]{4}", job_id):
        raise ForgedJobError(f"{job_id!r} is no job's id, so no folder has its name")
    return folder / job_id
