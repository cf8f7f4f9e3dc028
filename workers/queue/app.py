"""The Celery application: one queue of shard ids on Redis. The truth is in the database."""

from typing import Any

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

from workers.errors import WorkersError
from workers.queue.loader import Loader
from workers.settings import Settings

TRAINING_LIMIT_S = 30 * 24 * 3600
"""A training outlives every visibility timeout. A worker that receives its message again finds the lease held."""

CLOSING_LIMIT_S = 3600
"""An attempt at closing a job, of any number of faces. It may outlive the visibility timeout: another worker that
receives the message meanwhile makes the next step, or finds the job locked."""

PRIORITIES = 10
"""A job's priority is 0 to 9."""

_SETTINGS = "fer_secret_settings"
"""The configuration key of the `Settings`. Celery and Flower show values of keys that contain `secret` as asterisks."""

# A Redis server that is cut off sends no error, and without these a worker would wait for it for ever.
# `socket_timeout` limits the wait for a reply. Receiving messages does not block: Kombu polls with a time limit of a
# second, reads when data has arrived, and reconnects when a reply is overdue by `health_check_interval`.
_SILENCE = {"socket_timeout": 20, "health_check_interval": 10, "socket_keepalive": True}

_BARE_JSON = (
    '{"time": "%(asctime)s", "level": "%(levelname)s", "process": "%(processName)s", "logger": "%(name)s", '
    '"message": "%(message)s"}'
)
"""For the line of a child's birth, which is logged before `log_lines` can see to it."""

# By name, because a URL may also name a socket (`redis+socket://`), which overrides any other way of choosing.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "workers.queue.transport:TolerantTransport"))


def make_app(settings: Settings) -> Celery:
    """An application for one broker. It holds its settings, and so do the child processes of its worker.

    Several may live in one process: none becomes Celery's current application unless a worker is started with it.
    Raises `WorkersError` if the limits on a shard's time contradict each other.
    """
    soft, hard, visibility = _time_limits(settings.shard_timeout_seconds)
    timeout = {"visibility_timeout": visibility}
    app = Celery(
        "fer-batch",
        broker=_verifying(settings.broker_url),
        include=["workers.tasks", "workers.watchdog", "workers.queue.log_lines"],
        loader=Loader,
        set_as_current=False,
    )
    app.conf.update(
        {_SETTINGS: settings},
        task_default_queue="batch",
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_soft_time_limit=soft,
        task_time_limit=hard,
        # A message whose worker process died is not sent again by Celery: the sweep does it, and counts attempts.
        task_reject_on_worker_lost=False,
        # Not only once Flower asks for them, every 5 s: it would never hear of what a new worker takes up before.
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_pool="workers.queue.pool:Pool",
        worker_pool_start_method="spawn",
        # A spawned process imports everything anew; the default of 4 s is too short on a busy machine.
        worker_proc_alive_timeout=120,
        worker_soft_shutdown_timeout=10.0,
        worker_hijack_root_logger=False,
        **({"worker_log_format": _BARE_JSON} if settings.log_json else {}),
        broker_transport_options={
            **timeout,
            "socket_connect_timeout": 5,
            **_SILENCE,
            "priority_steps": list(range(PRIORITIES)),
        },
        result_backend_transport_options=timeout,
        broker_connection_retry_on_startup=True,
        # A worker outlives any outage of Redis; the default gives up after a hundred attempts.
        broker_connection_max_retries=None,
        # Also one of Redis that is full, or read-only as a replica is: Celery would call its answer unrecoverable.
        broker_channel_error_retry=True,
        **timeout,
    )
    return app


def _verifying(url: str) -> str:
    """A broker's URL that has certificates verified, unless it says otherwise: Kombu would verify none by default."""
    scheme, _, rest = url.partition("://")
    if scheme != "rediss" or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in rest else '?'}ssl_cert_reqs=required"


def tls_options(url: str) -> dict[str, Any] | None:
    """The options of TLS in a broker's URL, as the client of Redis takes them; None without TLS."""
    if not url.startswith("rediss://"):
        return None
    from redis.connection import parse_url

    options = parse_url(_verifying(url))  # type: ignore[no-untyped-call]
    return {name: value for name, value in options.items() if name.startswith("ssl_")}


def settings_of(app: Celery) -> Settings:
    """The settings that an application was made with."""
    return app.conf[_SETTINGS]


def is_logged_as_json(app: Celery) -> bool:
    """Whether the worker of this application logs JSON; one that `make_app` did not make does not."""
    settings: Settings | None = app.conf.get(_SETTINGS)
    return settings is not None and settings.log_json


def _time_limits(soft: float) -> tuple[float, float, float]:
    """The soft and the hard limit of a task and the visibility timeout, in seconds."""
    hard = 1.1 * soft
    # A task that outlives the visibility timeout is delivered again while it runs.
    visibility = 2 * hard
    if not soft < hard < visibility:
        raise WorkersError(
            f"FER_SHARD_TIMEOUT_SECONDS is {soft}, and the limits that follow from it contradict each other: "
            f"soft {soft}, hard {hard}, visibility timeout {visibility} seconds must rise. Set it to a usual number."
        )
    return soft, hard, visibility


def limits_after(app: Celery, seconds: float) -> dict[str, float]:
    """The time limits of a shard's message, for a piece behind so many seconds of video that must be decoded first.

    Decoding is expected to keep up with the clock. If the message outlives the visibility timeout, it is delivered
    again, and finds the lease held.
    """
    soft, hard, _ = _time_limits(settings_of(app).shard_timeout_seconds + seconds)
    return {"soft_time_limit": soft, "time_limit": hard}


def __getattr__(name: str) -> Any:
    # For `celery --app workers.queue.app`. Importing this module reads no environment; the attribute `app` does.
    if name == "app":
        return make_app(Settings())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
