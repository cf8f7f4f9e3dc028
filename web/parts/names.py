"""Names of jobs and media, as a visitor knows them."""

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from results.printable import shown
from results.tables import Job


def file_name(uri: str) -> str:
    """The last part of a medium's address, as one printable line."""
    path = unquote(urlsplit(uri).path) if "://" in uri else uri
    return shown(PurePosixPath(path).name or uri)


def file_stem(uri: str) -> str:
    """The same without its extension."""
    return PurePosixPath(file_name(uri)).stem


def job_title(job: Job) -> str:
    """A job's name, or its first path, or its id."""
    paths = job.options.get("paths") or []
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return shown(job.name) if job.name else file_name(paths[0].rstrip("/")) + more if paths else job.id


def job_name(job: Job) -> str:
    """The title, when the job was made and its state, to choose by."""
    return f"{job_title(job)} · {job.created_at:%d %b %H:%M} · {state_name(job.kind, job.state)}"


def state_name(kind: str, state: str) -> str:
    """A job's state; a stream that is stopped is one that was cancelled."""
    return "stopped" if (kind, state) == ("stream", "cancelled") else state


def plain(text: str) -> str:
    """Text that Streamlit's Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>()#+-.!|$:~&" else letter for letter in text)


def counted(count: int, thing: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
