"""`resume` and `retry` for jobs of a `fer-batch run`, whose queue nobody serves but its own worker."""

import redis
from sqlalchemy import Engine as Database

from results.database import writing
from results.jobs import cancel_job, create_job, get_job
from results.leases import claim
from results.plans import MediaPlan, ShardPlan, add_plan
from tests.support.commands import succeed

NOTHING = "There is nothing to resume: all that is not finished is queued or being worked on."


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


def test_resume_leaves_a_run_that_lives_to_its_own_worker(database: Database, migrated_url: str, broker: str) -> None:
    job, before = of_a_run(database), queues(broker)
    said = succeed("resume", "--broker", broker, "--db", migrated_url).stdout.strip()
    assert said == NOTHING
    assert queue_of(database, job) == "run-0123abcd" and queues(broker) == before


def test_retry_hands_what_a_run_left_to_the_ordinary_workers(
    database: Database, migrated_url: str, broker: str
) -> None:
    job = of_a_run(database)
    with writing(database) as session:
        cancel_job(session, job)
    said = succeed("retry", job, "--broker", broker, "--db", migrated_url).stdout.strip()
    assert said == f"{job}: 2 shards are queued again"
    assert queue_of(database, job) == "batch"
    assert any(key.startswith(b"batch") for key in queues(broker))
    assert not any(key.startswith(b"run-") for key in queues(broker))
