"""`resume` for jobs of a `fer-batch run`."""

from sqlalchemy import Engine as Database

from tests.support.commands import succeed
from tests.support.private_queue import of_a_run, queue_of, queues

NOTHING = "There is nothing to resume: all that is not finished is queued or being worked on."


def test_resume_leaves_a_run_that_lives_to_its_own_worker(database: Database, migrated_url: str, broker: str) -> None:
    job, before = of_a_run(database), queues(broker)
    output = succeed("resume", "--broker", broker, "--db", migrated_url).stdout.strip()
    assert output == NOTHING
    assert queue_of(database, job) == "run-0123abcd" and queues(broker) == before
