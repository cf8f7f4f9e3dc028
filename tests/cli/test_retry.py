"""`retry` for jobs of a `fer-batch run`."""

from sqlalchemy import Engine as Database

from results.database import writing
from results.jobs import cancel_job
from tests.support.commands import succeed
from tests.support.private_queue import of_a_run, queue_of, queues


def test_retry_hands_what_a_run_left_to_the_ordinary_workers(
    database: Database, migrated_url: str, broker: str
) -> None:
    job = of_a_run(database)
    with writing(database) as session:
        cancel_job(session, job)
    output = succeed("retry", job, "--broker", broker, "--db", migrated_url).stdout.strip()
    assert output == f"{job}: 2 shards are queued again"
    assert queue_of(database, job) == "batch"
    assert any(key.startswith(b"batch") for key in queues(broker))
    assert not any(key.startswith(b"run-") for key in queues(broker))
