"""Reads the live summaries of a stream from Redis, where its worker puts one each second."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from celery import Celery

from workers.queue.broker import BROKER_ERRORS, TIMEOUT_S
from workers.streams.live import FIELD, KEY

WAIT_MS = 1000
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What a second brought: a summary, the reason why Redis does not answer, or, with neither, nothing new."""

    summary: dict[str, Any] | None = None
    outage: str | None = None


def listen(app: Celery, name: str) -> Iterator[Heard]:
    """The stream's summaries from now on, for ever. During an outage of Redis, one `Heard` a second gives its reason.

    Summaries that were written before the outage and not read yet follow it, if Redis kept them.
    """
    last: bytes | None = None
    while True:
        try:
            with app.connection_for_read() as connection:
                connection.ensure_connection(max_retries=0, timeout=TIMEOUT_S)
                client = connection.default_channel.client
                last = last or _newest(client, name)
                while True:
                    entries = _newer(client, name, last)
                    last = entries[-1][0] if entries else last
                    yield from (Heard(json.loads(fields[FIELD.encode()])) for _, fields in entries)
                    if not entries:
                        yield Heard()
        except BROKER_ERRORS as error:
            yield Heard(outage=str(error.__cause__ or error).rstrip(".") or type(error).__name__)
            time.sleep(PAUSE_S)


def _newest(client: Any, name: str) -> bytes:
    entries = client.xrevrange(KEY + name, count=1)
    return entries[0][0] if entries else b"0-0"


def _newer(client: Any, name: str, last: bytes) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries after `last`; waits for some for a second."""
    found = client.xread({KEY + name: last}, count=100, block=WAIT_MS)
    return found[0][1] if found else []
