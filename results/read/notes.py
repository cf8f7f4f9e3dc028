"""What a reader of a job's results must know: the job is not finished, or parts of it are missing."""

from collections.abc import Iterator

from results.jobs import UNFINISHED
from results.read.status import JobStatus


def notes(status: JobStatus) -> Iterator[str]:
    """What is missing, one sentence each; none if the results are complete."""
    if status.kind == "stream":
        return
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
    parts = [status.failures] if status.failures else []
    if noted := status.noted:
        words = "a file is incomplete or has" if noted == 1 else f"{noted:,} files are incomplete or have"
        parts.append(f"{words} a note")
    if parts:
        yield f"{', '.join(parts)}; `fer-batch status {status.job}` gives the reason."
