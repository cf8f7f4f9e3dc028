"""The sweep over many jobs."""

from sqlalchemy import Engine as Database
from sqlalchemy import update

from results.database import writing
from results.tables import Job
from tests.support.rows import ONE_VIDEO, THREE_SECONDS, new_job
from tests.support.statements import statements
from workers.queue.app import make_app
from workers.queue.dispatching import sweep
from workers.settings import Settings

JOBS = 60


def test_jobs_that_wait_for_nothing_cost_no_statement_each(database: Database, broker: str) -> None:
    app = make_app(Settings(broker_url=broker, queues="many"))
    with writing(database) as session:
        jobs = [new_job(session, ONE_VIDEO, THREE_SECONDS) for _ in range(JOBS)]
        session.execute(update(Job).values(queue="many"))
    assert set(sweep(app, database, ["many"])) == set(jobs), "each gets its first messages"
    with statements(database) as sent:
        assert sweep(app, database, ["many"]) == {}
    assert len(sent) < 12, sent
    app.close()
