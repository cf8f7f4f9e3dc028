"""What whoever asks for answers must know: the job still runs, or parts of it are missing. On stderr."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from results.read.status import JobStatus


def note_what_is_missing(session: "Session", job_id: str) -> None:
    """Says on stderr what of a job is not there, or not there yet."""
    from results.read.status import job_status

    for note in notes(job_status(session, job_id)):
        print(f"Note: {note}", file=sys.stderr)


def notes(status: "JobStatus") -> Iterator[str]:
    """One sentence each."""
    if status.state in ("queued", "running"):
        done, planned = status.shards["done"], sum(status.shards.values())
        yield (
            f"job {status.job} is still {status.state}, {done:,} of {planned:,} pieces are done. This is what is there "
            "so far; the tracks of a video's pieces are joined at the end."
        )
    if status.state == "cancelled":
        yield f"job {status.job} was cancelled: this is what was there by then."
    if status.state == "failed" and status.kind != "train":
        yield f"job {status.job} failed."
    if status.errors:
        one = len(status.errors) == 1
        yield (
            f"{'a file is' if one else f'{len(status.errors):,} files are'} missing or incomplete; "
            f"`fer-batch status {status.job}` says why."
        )
