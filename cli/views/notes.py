"""Notes on stderr about results that are incomplete."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def note_what_is_missing(session: "Session", job_id: str) -> None:
    """Prints what of the job is missing, or not there yet."""
    from results.read.notes import notes
    from results.read.status import job_status

    for note in notes(job_status(session, job_id)):
        print(f"Note: {note}", file=sys.stderr)
