"""The tasks: each loads an id, calls a function and passes the word on."""

import logging
import os
import threading
from functools import cache
from typing import Any

from billiard import current_process
from celery.signals import worker_ready
from sqlalchemy import Engine as Database

from fer_model.engines import gpu_count, load_engine
from fer_model.manifest import SHIPPED, read_models
from results.database import connect, reading
from results.jobs import job_of_shard
from workers import dispatching, processing
from workers.app import app
from workers.finishing import finish
from workers.settings import settings, writable_cache

logger = logging.getLogger(__name__)

SWEEP_S = 10.0


@app.task(name="process_shard")
def process_shard(shard_id: int) -> None:
    """Works on one shard, then queues what comes next in its job."""
    processing.process_shard(_database(), shard_id, f"{os.uname().nodename}:{os.getpid()}", _networks)
    with reading(_database()) as session:
        job_id = job_of_shard(session, shard_id)
    if job_id is not None:
        dispatching.advance(_database(), job_id)


@app.task(name="finish_job")
def finish_job(job_id: str) -> None:
    """Joins what the shards found and closes the job. Doing it twice changes nothing."""
    finish(_database(), job_id)


@worker_ready.connect
def start_sweep(**_: Any) -> None:
    """The worker's main process looks every ten seconds for work that got lost."""

    def repeat() -> None:
        while True:
            try:
                dispatching.sweep(_database(), settings().queues.split(","))
            except Exception as error:
                # The database or Redis may be away for a while; the next round tries again.
                logger.warning("sweep failed: %s", error)
            threading.Event().wait(SWEEP_S)

    threading.Thread(target=repeat, name="sweep", daemon=True).start()


@cache
def _database() -> Database:
    return connect(settings().database_url)


@cache
def _networks() -> processing.Networks:
    models = read_models(settings().models_dir or SHIPPED)
    engine = load_engine(models, _device(), writable_cache())
    logger.info("networks ready: %s", engine.description)
    return engine, models


def _device() -> str:
    """With several GPUs each process of the pool takes one."""
    if settings().device == "auto" and (gpus := gpu_count()):
        return f"cuda:{current_process().index % gpus}"
    return settings().device
