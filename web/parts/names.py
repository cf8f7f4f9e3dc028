"""Names of jobs and media, as a visitor knows them."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from sqlalchemy.orm import Session

from results.printable import shown
from results.read.naming import stream_of
from results.read.output_names import file_name as output_name
from results.tables import Job, Media

Key = TypeVar("Key")


def file_name(uri: str) -> str:
    """The last part of a medium's address, as one printable line."""
    return shown(_path(uri).name or uri)


def folder_name(uri: str) -> str:
    """The name of the folder that it lies in."""
    return shown(_path(uri).parent.name)


def _path(uri: str) -> PurePosixPath:
    return PurePosixPath(unquote(urlsplit(uri).path) if "://" in uri else uri)


def medium_name(medium: Media) -> str:
    """A file's name, or when an hour of a stream began."""
    is_hour = medium.kind == "stream"
    return f"{medium.started_at:%d %b %Y, %H:%M} UTC" if is_hour else file_name(medium.uri)


def medium_title(session: Session, medium: Media) -> str:
    """The same, with the stream's name before its hour."""
    stream = stream_of(session, medium.job_id)
    return f"{shown(stream)}, {medium_name(medium)}" if stream else medium_name(medium)


def download_stem(session: Session, medium: Media) -> str:
    """A file's name without its extension; of a stream's hour, what commands call its files."""
    if medium.kind == "stream":
        return output_name(medium, stream_of(session, medium.job_id))
    return PurePosixPath(file_name(medium.uri)).stem


def told_apart(labels: Mapping[Key, str], *further: Callable[[Key], str]) -> dict[Key, str]:
    """Labels of which none occurs twice: those that do get what `further` says of their keys, one after another.

    Streamlit tells the options of a list apart by their labels.
    """
    found = dict(labels)
    for say in further:
        counts = Counter(found.values())
        found = {key: f"{label} · {say(key)}" if counts[label] > 1 else label for key, label in found.items()}
    return found


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
