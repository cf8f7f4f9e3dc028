"""Notes on stderr about results that are incomplete."""

from typing import TYPE_CHECKING

from cli.views.lines import say

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def note_what_is_missing(session: "Session", job_id: str) -> None:
    """Prints what of the job is missing, or not there yet."""
    from results.read.notes import notes
    from results.read.status import job_status

    for note in notes(job_status(session, job_id)):
        say(f"Note: {note}", err=True)
