"""The Celery application: one queue of shard ids on Redis. The truth is in the database."""

from celery import Celery

from workers.settings import settings

SOFT_LIMIT_S = settings().shard_timeout_seconds
HARD_LIMIT_S = 1.1 * SOFT_LIMIT_S
TRAINING_LIMIT_S = 30 * 24 * 3600
"""A training outlives every visibility timeout. Who gets its message again finds the run taken, and does nothing."""

VISIBILITY_TIMEOUT_S = 2 * HARD_LIMIT_S
"""A task that outlives the visibility timeout is delivered again while it runs."""

PRIORITIES = 10
"""A job's priority is 0 to 9."""

assert SOFT_LIMIT_S < HARD_LIMIT_S < VISIBILITY_TIMEOUT_S

# A Redis server that is cut off says nothing, and without these a worker would wait for it for ever. `socket_timeout`
# is for what waits for an answer. Waiting for messages does not: Kombu asks for them with a time limit of a second,
# reads when there is something to read, and reconnects when the answer is overdue by `health_check_interval`.
_SILENCE = {"socket_timeout": 20, "health_check_interval": 10, "socket_keepalive": True}
_VISIBILITY = {"visibility_timeout": VISIBILITY_TIMEOUT_S}

app = Celery("fer-batch", broker=settings().broker_url, include=["workers.tasks", "workers.watchdog"])
app.conf.update(
    task_default_queue="batch",
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    task_soft_time_limit=SOFT_LIMIT_S,
    task_time_limit=HARD_LIMIT_S,
    # A message whose worker process died is not sent again by Celery: the sweep does it, and counts attempts.
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    worker_concurrency=1,
    worker_pool_start_method="spawn",
    # A spawned process imports everything anew; the default of 4 s is too short on a busy machine.
    worker_proc_alive_timeout=120,
    worker_soft_shutdown_timeout=10.0,
    worker_hijack_root_logger=False,
    worker_send_task_events=True,
    visibility_timeout=VISIBILITY_TIMEOUT_S,
    broker_transport_options={
        **_VISIBILITY,
        "socket_connect_timeout": 5,
        **_SILENCE,
        "priority_steps": list(range(PRIORITIES)),
    },
    result_backend_transport_options=_VISIBILITY,
    broker_connection_retry_on_startup=True,
    # A worker outlives any outage of Redis; the default gives up after a hundred attempts.
    broker_connection_max_retries=None,
)
