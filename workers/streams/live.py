"""Live summaries in Redis, for `tail` and the page. Without Redis they are lost, and nothing else is."""

import json
import logging
import threading
import time
from collections.abc import Mapping
from queue import Empty, Full, Queue
from typing import Any

from celery import Celery

from workers.errors import BrokerUnreachableError
from workers.queue.broker import BROKER_ERRORS, check_broker

logger = logging.getLogger(__name__)

KEY = "fer:live:"
"""A stream's summaries are in the Redis stream of this name and its own; each entry has one field, `FIELD`."""

FIELD = "summary"
LENGTH = 3600
"""About so many summaries are kept: those of an hour."""

FORGET_S = 2 * 3600
MOST_WAITING = 1000
PAUSE_S = 1.0

Summary = tuple[str, Mapping[str, Any] | None]
"""A stream's name and what its worker tells of it; None when it is no longer the worker's."""


def forget_summaries(app: Celery, name: str) -> None:
    """Deletes what Redis has of a removed stream. Where Redis does not answer, it expires."""
    try:
        check_broker(app)
        with app.connection_for_write() as connection:
            connection.default_channel.client.delete(KEY + name)
    except (BrokerUnreachableError, *BROKER_ERRORS) as error:
        logger.warning("live summaries of %s stay for %d hours at most: %s", name, FORGET_S // 3600, error)


class Live:
    """Sends summaries from a thread of its own, so that a Redis server that hangs delays nothing else."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._waiting: Queue[Summary] = Queue(MOST_WAITING)
        threading.Thread(target=self._run, name="live", daemon=True).start()

    def publish(self, name: str, summary: Mapping[str, Any] | None) -> None:
        """Sends a stream's summary soon, or with None deletes those that were sent; drops it while Redis is away."""
        try:
            self._waiting.put_nowait((name, summary))
        except Full:
            return

    def _run(self) -> None:
        while True:
            # Without summaries there is no connection, and an outage does not matter.
            first = self._waiting.get()
            try:
                with self._app.connection_for_write() as connection:
                    self._send(connection.default_channel.client, first)
            except BROKER_ERRORS as error:
                logger.warning("live summaries cannot be sent: %s", error)
                time.sleep(PAUSE_S)
                self._forget()

    def _send(self, client: Any, first: Summary) -> None:
        name, summary = first
        while True:
            if summary is None:
                client.delete(KEY + name)
            else:
                entry = {FIELD: json.dumps(summary)}
                # Both or neither: a key that never expires would stay for good.
                with client.pipeline() as both:
                    both.xadd(KEY + name, entry, maxlen=LENGTH, approximate=True)
                    both.expire(KEY + name, FORGET_S)
                    both.execute()
            name, summary = self._waiting.get()

    def _forget(self) -> None:
        """What is old is of no use once Redis is back."""
        try:
            while True:
                self._waiting.get_nowait()
        except Empty:
            return
