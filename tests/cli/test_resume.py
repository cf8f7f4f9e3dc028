"""`resume` for jobs of a `fer-batch run`, and without a broker."""

from collections.abc import Iterator

import pytest
import redis
from sqlalchemy import Engine as Database

from results.database import writing
from results.jobs import cancel_job
from tests.support.commands import fer_batch, only_sentence, succeed
from tests.support.private_queue import of_a_run, queue_of, queues
from tests.support.rows import FOUR_PICTURES, TWO_PICTURES_EACH, new_job

NOTHING = "There is nothing to resume: all that is not finished is queued or being worked on."


def test_resume_leaves_a_run_that_lives_to_its_own_worker(database: Database, migrated_url: str, broker: str) -> None:
    job, before = of_a_run(database), queues(broker)
    output = succeed("resume", "--broker", broker, "--db", migrated_url).stdout.strip()
    assert output == NOTHING
    assert queue_of(database, job) == "run-0123abcd" and queues(broker) == before


@pytest.fixture
def refusing(broker: str) -> Iterator[str]:
    """A broker that answers, and refuses messages as one that goes away just then."""
    with redis.Redis(unix_socket_path=broker.removeprefix("redis+socket://")) as server:
        server.execute_command("ACL", "SETUSER", "default", "-lpush")
        yield broker
        server.execute_command("ACL", "SETUSER", "default", "+lpush")


def test_a_broker_that_goes_away_meanwhile_is_told_in_one_sentence(
    database: Database, migrated_url: str, refusing: str
) -> None:
    with writing(database) as session:
        new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
    run = fer_batch("resume", "--broker", refusing, "--db", migrated_url)
    assert run.returncode == 1 and "The broker went away" in only_sentence(run.stderr)


def test_a_retry_needs_no_broker_once_it_is_written(database: Database, migrated_url: str, refusing: str) -> None:
    with writing(database) as session:
        job = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        cancel_job(session, job)
    run = succeed("retry", job, "--broker", refusing, "--db", migrated_url)
    assert run.stdout.strip() == f"{job}: 2 shards are queued again" and "Traceback" not in run.stderr
