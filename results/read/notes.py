"""What a reader of a job's results must know: the job is not finished, or parts of it are missing."""

from collections.abc import Iterator

from results.jobs import UNFINISHED
from results.read.status import JobStatus


def notes(status: JobStatus) -> Iterator[str]:
    """What is missing, one sentence each; none if the results are complete."""
    if status.state in UNFINISHED:
        done, planned = status.shards["done"], sum(status.shards.values())
        yield (
            f"job {status.job} is still {status.state}, {done:,} of {planned:,} pieces are done. These are the results "
            "so far; the tracks of a video's pieces are joined at the end."
        )
    if status.state == "cancelled":
        yield f"job {status.job} was cancelled: these are the results up to then."
    if status.state == "failed" and status.kind != "train":
        yield f"job {status.job} failed."
    if status.failures and 2 * status.failed > status.media:
        yield f"{status.failures}; `fer-batch status {status.job}` gives the reason."
    elif status.errors:
        one = len(status.errors) == 1
        yield (
            f"{'a file is' if one else f'{len(status.errors):,} files are'} missing or incomplete; "
            f"`fer-batch status {status.job}` gives the reason."
        )
