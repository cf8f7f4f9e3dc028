"""Jobs in a database without messages in a queue, waiting or done."""

from pathlib import Path

from sqlalchemy import Engine as Database
from sqlalchemy import select

from fer_model.engines import Engine
from results.database import writing
from results.jobs import create_job
from results.plans import add_plan
from results.tables import Shard
from workers.batch.finishing import finish
from workers.batch.planning import BatchOptions, plan
from workers.batch.processing import process_shard
from workers.settings import Settings


def planned(database: Database, paths: list[Path], options: BatchOptions | None = None) -> tuple[str, list[int]]:
    """A job in the database: its id and those of its shards."""
    options = options or BatchOptions()
    media, shards = plan([str(path) for path in paths], options, ())
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options=options.as_dict())
        add_plan(session, job.id, media, shards)
        ids = list(session.scalars(select(Shard.id).where(Shard.job_id == job.id).order_by(Shard.id)))
    return job.id, ids


def analysed(database: Database, networks: Engine, paths: list[Path], options: BatchOptions | None = None) -> str:
    """A job that one worker has done to the end."""
    job_id, ids = planned(database, paths, options)
    for shard_id in ids:
        process_shard(database, Settings(), shard_id, "test", lambda _: networks)
    finish(database, job_id)
    return job_id
