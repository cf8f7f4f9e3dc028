"""The command `flower`: the queue in a browser, behind a password, with names instead of numbers."""

import re
import secrets
import time
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import click

from cli.options import connection_options
from workers.metrics.timeouts import within

if TYPE_CHECKING:
    from sqlalchemy import Engine as Database

COLUMNS = "name,args,uuid,state,received,runtime,worker"
"""Of the list of tasks: Flower's own, and the arguments, which say what a task is about."""

ANSWER_S = 1.0
"""How long a page waits for the database."""


NAMED = ("process_shard", "train", "finish_job")
"""Tasks whose only argument is the number of a shard, or the id of a job."""


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5555, help="The port to listen at.")
@click.option("--address", default="127.0.0.1", help="The address to listen at; 0.0.0.0 is all of this machine's.")
@connection_options(broker=True)
def flower(port: int, address: str) -> None:
    """Show workers, tasks and queues in a browser.

    The name and password are those of FER_FLOWER_AUTH; without it a password is made up and printed.
    """
    from flower.options import options

    from workers.batch.submitting import check_broker
    from workers.queue.app import app

    secret, words = login()
    check_broker()
    # As defaults, which Flower's own configuration may change.
    options.format_task = in_words
    options.tasks_columns = COLUMNS
    click.echo(f"Flower: http://{address}:{port}, {words}", err=True)
    # Within this process: nobody sees the password in the list of processes. What stands here wins over
    # Flower's variables and its file, so that none of them can take the password away.
    app.start(["--quiet", "flower", f"--address={address}", f"--port={port}", f"--basic_auth={secret}"])


def in_words(task: Any) -> Any:
    """A task as Flower shows it, its argument in words; as it is where the database does not answer."""
    argument = re.fullmatch(r"\('?([\w-]+)'?,\)", task.args or "")
    if task.name in NAMED and argument:
        # Names are asked for again after a minute: a whole video becomes a segment when it has been looked into.
        with suppress(LookupError):
            task.args = _name(task.name, argument[1], int(time.monotonic() // 60))
    return task


def login() -> tuple[str, str]:
    """`user:password`, and a sentence about it for the user. Raises `WorkersError` if FER_FLOWER_AUTH is malformed."""
    from workers.errors import WorkersError
    from workers.settings import settings

    given = settings().flower_auth
    if given is None:
        password = secrets.token_urlsafe(18)
        return f"fer:{password}", f"user fer, password {password} (for this time; FER_FLOWER_AUTH sets another)"
    secret = given.get_secret_value()
    user, _, password = secret.partition(":")
    # Flower takes a comma for the beginning of another login.
    if not user or not password or "," in secret:
        raise WorkersError("FER_FLOWER_AUTH must be USER:PASSWORD, neither of them empty, and without a comma.")
    return secret, f"user {user}, password as in FER_FLOWER_AUTH"


@lru_cache(maxsize=10_000)
def _name(task: str, argument: str, minute: int) -> str:
    name = _asked(task, argument)
    if name is None:
        raise LookupError(argument)
    return name


def _ask(task: str, argument: str) -> str | None:
    from results.database import reading
    from results.read.naming import name_of_job, name_of_shard

    with reading(_database()) as session:
        return name_of_job(session, argument) if task == "finish_job" else name_of_shard(session, int(argument))


_asked = within(ANSWER_S, _ask)


@cache
def _database() -> "Database":
    from results.database import existing
    from workers.settings import settings

    return existing(settings().database_url)
