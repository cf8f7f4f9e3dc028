"""The command `run`: the whole system for the length of one job."""

import secrets
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from cli.options import batch_options, batch_options_from, settings_options
from cli.standard_streams import outlive_stdout
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.settings import Settings


@click.command()
@batch_options
@settings_options("quiet", "database_url")
def run(settings: "Settings", paths: tuple[str, ...], name: str | None, **options: Any) -> None:
    """Analyse photographs and videos on this machine alone.

    Starts a private Redis server and a worker, queues the job, shows its progress and its
    timeline, and stops what it started. Results stay in the database.
    """
    from cli.connection import prepared_database
    from cli.views.following import print_errors, print_summary
    from cli.views.timeline import print_first_rows
    from results.urls import describe

    outlive_stdout()
    chosen = batch_options_from(settings, **options)
    database = prepared_database(settings)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    status = _analyse(settings, database, paths, chosen, name)
    if settings.quiet:
        print_errors(status)
        say(status.job)
        sys.exit(status.state != "done")
    print_summary(status)
    say()
    print_first_rows(database, status.job)
    say()
    say(f"Database: {describe(settings.database_url)}")
    say(f"Ask it in SQL, for example: {SAMPLE_QUERY.format(job=status.job)}")
    sys.exit(status.state != "done")


PROBE_S = 5.0
"""How often `run` checks that its database can be written to."""

SAMPLE_QUERY = (
    "SELECT uri, second, emotion, happy FROM emotion_timeline WHERE job_id = '{job}' AND faces > 0 ORDER BY uri, second"
)


def _analyse(settings: "Settings", database: Any, paths: tuple[str, ...], options: Any, name: str | None) -> Any:
    from cli.views.following import follow, planning, print_passed_over
    from fer_model.sources.discover import PassedOver
    from results.database import check_writable, room_held_back, writing
    from results.errors import ResultsError
    from results.jobs import cancel_job
    from workers.batch.submitting import submit
    from workers.errors import LocalStackError
    from workers.queue import local_stack
    from workers.queue.app import make_app

    with (
        room_held_back(database) as room,
        local_stack.stack_folder() as folder,
        local_stack.local_redis(folder) as broker,
    ):
        # A queue of its own: this worker must not take other jobs, nor other workers this one.
        own = settings.model_copy(update={"broker_url": broker, "queues": f"run-{secrets.token_hex(4)}"})
        passed_over, app = PassedOver(), make_app(own)
        with planning(settings.quiet) as on_medium:
            job = submit(app, database, paths, options, name=name, on_medium=on_medium, passed_over=passed_over)
        print_passed_over(passed_over)
        log = folder / "worker.log"
        with local_stack.local_worker(own.as_environment(), log) as worker:
            probed = time.monotonic()

            def check() -> None:
                nonlocal probed
                if worker.poll() is not None:
                    raise LocalStackError(f"The worker stopped unexpectedly: {local_stack.last_lines(log)}")
                if time.monotonic() - probed > PROBE_S:
                    # A worker waits until a full disk has room again; the user of this command must learn of it.
                    check_writable(database)
                    probed = time.monotonic()

            try:
                return follow(database, job.job, check, settings.quiet)
            except BaseException:
                # A second Ctrl-C must not leave the job unfinished.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                room.close()
                with suppress(ResultsError), writing(database) as session:
                    cancel_job(session, job.job)
                raise


def _terminate(signum: int, frame: FrameType | None) -> None:
    # An exception, so that everything that was started is stopped on the way out.
    sys.exit(128 + signum)
