"""The command `flower`: the queue in a browser, behind a password, with names instead of numbers."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any

import click

from cli.options import Whole, settings_options
from cli.views.lines import say
from results.printable import shown
from workers.metrics.timeouts import within

if TYPE_CHECKING:
    from sqlalchemy import Engine as Database

    from workers.settings import Settings

COLUMNS = "name,args,uuid,state,received,runtime,worker"
"""Of the list of tasks: Flower's own, and the arguments, which hold a task's subject."""

ANSWER_S = 1.0
"""How long a page waits for the database."""


NAMED = ("process_shard", "serve_stream", "train", "finish_job")
"""Tasks whose only argument is the number of a shard, or the id of a job."""


@click.command()
@click.option("--port", metavar="PORT", type=Whole(1, 65535), default=5555, help="Port to listen on.")
@click.option("--address", default="127.0.0.1", help="Address to listen on; 0.0.0.0 is all of this machine's.")
@settings_options("database_url", "broker_url")
def flower(settings: "Settings", port: int, address: str) -> None:
    """Show workers, tasks and queues in a browser.

    The name and password are those of FER_FLOWER_AUTH; without it a random password is printed.
    """
    from flower.options import options

    from workers.queue.app import make_app, tls_options
    from workers.queue.broker import check_broker

    secret, words = login(settings)
    app = make_app(settings)
    check_broker(app)
    # Flower asks for the lengths of queues by a client of its own, which does not read the URL's query.
    app.conf.broker_use_ssl = tls_options(settings.broker_url)
    # As defaults, which Flower's own configuration may change.
    options.format_task = in_words(settings.database_url)
    options.tasks_columns = COLUMNS
    # It warns of each question that no worker answers, as before the first one is started.
    logging.getLogger("flower.inspector").setLevel(logging.ERROR)
    say(f"Flower: http://{address}:{port}, {words}", err=True)
    # Within this process, so that the list of processes does not show the password. Options override Flower's
    # variables and its file, so that none of them can remove the password.
    app.start(["--quiet", "flower", f"--address={address}", f"--port={port}", f"--basic_auth={secret}"])


def in_words(database_url: str) -> Callable[[Any], Any]:
    """How Flower shows a task: its argument in words, or as it is while the database does not answer."""
    look_up = within(ANSWER_S, partial(_name, database_url))

    @lru_cache(maxsize=10_000)
    def name(task: str, argument: str, minute: int) -> str:
        if (found := look_up(task, argument)) is None:
            # An exception, so that the cache does not keep it.
            raise LookupError(argument)
        return found

    def format_task(task: Any) -> Any:
        argument = re.fullmatch(r"\('?([\w-]+)'?,\)", task.args or "")
        if task.name in NAMED and argument:
            # Looked up again after a minute: a whole video becomes a segment once its worker has cut it.
            with suppress(LookupError):
                task.args = name(task.name, argument[1], int(time.monotonic() // 60))
        return task

    return format_task


def login(settings: "Settings") -> tuple[str, str]:
    """`user:password`, and a sentence about it for the user. Raises `WorkersError` if FER_FLOWER_AUTH is malformed."""
    from workers.errors import WorkersError

    given = settings.flower_auth
    if given is None:
        password = secrets.token_urlsafe(18)
        return f"fer:{password}", f"user fer, password {password} (for this time; FER_FLOWER_AUTH sets another)"
    secret = given.get_secret_value()
    user, _, password = secret.partition(":")
    # Flower takes a comma for the beginning of another login.
    if not user or not password or "," in secret:
        raise WorkersError("FER_FLOWER_AUTH must be USER:PASSWORD, neither of them empty, and without a comma.")
    return secret, f"user {user}, password as in FER_FLOWER_AUTH"


def _name(database_url: str, task: str, argument: str) -> str | None:
    from results.database import reading
    from results.read.naming import name_of_job, name_of_shard

    with reading(_database(database_url)) as session:
        name = name_of_job(session, argument) if task == "finish_job" else name_of_shard(session, int(argument))
    return name and shown(name)


@cache
def _database(url: str) -> "Database":
    from results.database import existing

    return existing(url)
