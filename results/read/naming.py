"""Names of jobs and shards for users: the job's name, the file, the part of it."""

from pathlib import PurePath

from sqlalchemy import select
from sqlalchemy.orm import Session

from results.read.times import clock
from results.stream_tables import Stream
from results.tables import Job, Media, Shard, TrainingRun


def name_of_job(session: Session, job_id: str) -> str | None:
    """The job's name, or its id if it has none; None if there is no such job."""
    job = session.get(Job, job_id)
    return None if job is None else job.name or job.id


def stream_of(session: Session, job_id: str) -> str | None:
    """The name of the stream whose job this is; None of other jobs."""
    return session.scalar(select(Stream.name).where(Stream.job_id == job_id))


def name_of_shard(session: Session, shard_id: int) -> str | None:
    """Job, file and segment, as in "interviews · talk.mp4 · 1:30 to 2:00"; None if there is no such shard."""
    shard = session.get(Shard, shard_id)
    return None if shard is None else f"{name_of_job(session, shard.job_id)} · {_part(session, shard)}"


def _part(session: Session, shard: Shard) -> str:
    if stream_of(session, shard.job_id):
        return "stream"
    if run := session.get(TrainingRun, shard.job_id):
        return f"recipe {run.recipe}" if run.recipe else run.kind
    return _pictures(session, shard) if shard.media_id is None else _segment(session, shard)


def _segment(session: Session, shard: Shard) -> str:
    file = _file(session, shard.job_id, shard.first_position)
    if shard.start_ms is None:
        return file
    end = "the end" if shard.end_ms is None else _rounded(shard.end_ms)
    return f"{file} · {_rounded(shard.start_ms)} to {end}"


def _pictures(session: Session, shard: Shard) -> str:
    first, last = (_file(session, shard.job_id, position) for position in (shard.first_position, shard.last_position))
    return first if first == last else f"{first} to {last}"


def _file(session: Session, job_id: str, position: int) -> str:
    uri = session.scalars(select(Media.uri).where(Media.job_id == job_id, Media.position == position)).one()
    return PurePath(uri).name


def _rounded(ms: int) -> str:
    return clock(round(ms, -3))
