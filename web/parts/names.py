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


def job_name(job: Job) -> str:
    """A job's name or its paths, and when it was made."""
    paths = job.options.get("paths") or []
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    name = job.name or (file_name(paths[0].rstrip("/")) + more if paths else job.id)
    return f"{shown(name)} · {job.created_at:%d %b %H:%M} · {job.state}"
