"""A job of a `fer-batch run`, whose queue no other worker serves."""

import redis
from sqlalchemy import Engine as Database

from results.database import writing
from results.jobs import create_job, get_job
from results.leases import claim
from results.plans import MediaPlan, ShardPlan, add_plan


def of_a_run(database: Database) -> str:
    """A job of two shards, one of which its worker is at just now."""
    with writing(database) as session:
        job, _ = create_job(session, kind="batch", name=None, options={}, queue="run-0123abcd")
        media = [MediaPlan(f"/{number}.jpg", "image") for number in range(2)]
        add_plan(session, job.id, media, [ShardPlan(number, number, 1) for number in range(2)])
        assert claim(session, 1, "its worker") is not None
    return job.id


def queue_of(database: Database, job: str) -> str:
    with writing(database) as session:
        return get_job(session, job).queue


def queues(broker: str) -> set[bytes]:
    """The queues in which there is a message."""
    with redis.Redis(unix_socket_path=broker.removeprefix("redis+socket://")) as server:
        return {key for key in server.scan_iter() if server.type(key) == b"list"}
