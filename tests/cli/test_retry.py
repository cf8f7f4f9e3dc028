"""`retry` for jobs of a `fer-batch run`, of a `train --local`, and whose end failed."""

from sqlalchemy import Engine as Database
from sqlalchemy import update

from results.closing import MAX_CLOSINGS
from results.database import writing
from results.jobs import cancel_job
from results.shards import complete
from results.tables import Job
from results.training import TrainingPlan, add_training
from tests.support.commands import succeed
from tests.support.private_queue import of_a_run, queue_of, queues
from tests.support.rows import FOUR_PICTURES, TWO_PICTURES_EACH, new_job, take
from workers.queue.dispatching import LOCAL_QUEUE


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


def test_retry_hands_what_a_local_training_left_to_the_workers_of_trainings(
    database: Database, migrated_url: str, broker: str
) -> None:
    with writing(database) as session:
        run = add_training(session, TrainingPlan("detector", "faces", 1, {}), LOCAL_QUEUE)
        cancel_job(session, run)
    assert succeed("retry", run, "--broker", broker, "--db", migrated_url).stdout.strip().endswith("queued again")
    assert queue_of(database, run) == "train"
    assert not any(key.startswith(b"local") for key in queues(broker))


def test_retry_says_that_it_tries_the_end_of_a_job_again(database: Database, migrated_url: str, broker: str) -> None:
    with writing(database) as session:
        job = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        for shard in (1, 2):
            complete(session, take(session, shard), [], [])
        session.execute(update(Job).values(state="failed", closing_attempts=MAX_CLOSINGS))
    output = succeed("retry", job, "--broker", broker, "--db", migrated_url).stdout.strip()
    assert output == f"{job}: its end is tried again"
