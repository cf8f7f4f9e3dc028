"""Jobs in a database without messages in a queue."""

from pathlib import Path

from sqlalchemy import Engine as Database
from sqlalchemy import select

from results.database import writing
from results.jobs import create_job
from results.plans import add_plan
from results.tables import Shard
from workers.batch.planning import BatchOptions, plan


def planned(database: Database, paths: list[Path], options: BatchOptions | None = None) -> tuple[str, list[int]]:
    """A job in the database: its id and those of its shards."""
    options = options or BatchOptions()
    media, shards = plan([str(path) for path in paths], options, ())
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options=options.as_dict())
        add_plan(session, job.id, media, shards)
        ids = list(session.scalars(select(Shard.id).where(Shard.job_id == job.id).order_by(Shard.id)))
    return job.id, ids
