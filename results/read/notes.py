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
    if status.errors:
        failed = sum(each["state"] == "failed" for each in status.errors)
        parts = [_files(failed, "failed", "failed")] if failed else []
        if noted := len(status.errors) - failed:
            parts.append(_files(noted, "is incomplete or has a note", "are incomplete or have a note"))
        yield f"{', '.join(parts)}; `fer-batch status {status.job}` gives the reason."


def _files(count: int, one: str, many: str) -> str:
    return f"a file {one}" if count == 1 else f"{count:,} files {many}"
