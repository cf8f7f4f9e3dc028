"""Checks of Redis, and of the workers that answer through it."""

from contextlib import suppress

from redis import exceptions

from workers.diagnosis.trouble import Trouble, Unknown, remedy
from workers.errors import BrokerUnreachableError
from workers.queue.app import make_app
from workers.queue.broker import BROKER_ERRORS, INSPECTION_S, check_broker
from workers.settings import Settings, mask

KEEPING = "noeviction"

REDIS = "redis-cli -u $FER_BROKER_URL"

MEND_BROKER = "start Redis (`fer-batch up`, or `redis-server`), or set FER_BROKER_URL; `fer-batch run` needs none"
MEND_BROKERS: dict[type[Exception], str] = {
    exceptions.AuthenticationError: "put the password into the URL: `export FER_BROKER_URL=redis://:PASSWORD@HOST:6379/0`",
    exceptions.NoPermissionError: f"give this user all rights: `{REDIS} ACL SETUSER NAME on ~* &* +@all`",
    exceptions.ReadOnlyError: f"name the primary in FER_BROKER_URL; `{REDIS} INFO replication` tells which it is",
    exceptions.OutOfMemoryError: f"give Redis more memory: `{REDIS} CONFIG SET maxmemory 0` lifts its limit",
    exceptions.ResponseError: f"see what Redis reports: `{REDIS} INFO persistence`, and its log",
}
"""By the cause; the first class that fits."""


def broker(settings: Settings) -> str:
    """Whether Redis answers, takes messages, and never evicts one. Raises `Trouble`, `WorkersError`."""
    app, where = make_app(settings), mask(settings.broker_url)
    try:
        check_broker(app)
    except BrokerUnreachableError as error:
        raise Trouble(str(error), remedy(error, MEND_BROKERS, MEND_BROKER)) from error
    # Of a user who may not ask, and of a connection that was lost since, nothing is known.
    with suppress(*BROKER_ERRORS), app.connection_for_read() as connection:
        policy = connection.default_channel.client.info("memory").get("maxmemory_policy", KEEPING)
        if policy != KEEPING:
            raise Trouble(
                f"{where} may evict messages when its memory is full (maxmemory-policy {policy})",
                f"run `{REDIS} CONFIG SET maxmemory-policy {KEEPING}`, and write it into redis.conf",
            )
    return f"{where} answers"


def limits(settings: Settings) -> str:
    """Whether all workers have the same limits on a shard's time. Raises `Trouble`, `Unknown`.

    A message that comes back while another works on it would be worked on twice.
    """
    app = make_app(settings)
    try:
        check_broker(app)
        found = app.control.inspect(timeout=INSPECTION_S).conf() or {}
    except (BrokerUnreachableError, *BROKER_ERRORS) as error:
        raise Unknown("not known without the broker") from error
    hard, visibility = app.conf.task_time_limit, app.conf.broker_transport_options["visibility_timeout"]
    for worker, theirs in sorted(found.items()):
        other = theirs.get("broker_transport_options", {}).get("visibility_timeout", visibility)
        if other < hard or visibility < theirs.get("task_time_limit", hard):
            raise Trouble(
                f"messages come back to {worker} after {other:g} s and here after {visibility:g} s: less than a shard "
                f"may take at the other ({theirs.get('task_time_limit', hard):g} s and {hard:g} s)",
                "set FER_SHARD_TIMEOUT_SECONDS to the same number on all hosts, and start their workers again",
            )
    answer = "1 worker answers" if len(found) == 1 else f"{len(found)} workers answer"
    return f"{answer}; a message comes back after {visibility:g} s"
