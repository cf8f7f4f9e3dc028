"""Kombu's Redis transport, which a message that is none does not stop."""

import logging
from collections.abc import Callable
from typing import Any

from kombu.transport.redis import Channel, Transport

logger = logging.getLogger(__name__)

MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What Kombu and Celery raise for a message without the form of Celery's; connection errors are others."""


class TolerantChannel(Channel):
    """Removes and logs a message that cannot be understood; Kombu would let the worker end with its error."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except MALFORMED as error:
            # Redis has given the message away, so it is in no queue any more.
            logger.error("a message that is none of Celery's was removed: %r", error)
            return True

    def basic_consume(self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *rest: Any, **others: Any) -> Any:
        def tolerant(message: Any) -> None:
            try:
                callback(message)
            except MALFORMED as error:
                logger.error("a message that no task understands was removed: %r", error)
                if not message.acknowledged:
                    message.ack()

        return super().basic_consume(queue, no_ack, tolerant, *rest, **others)  # type: ignore[no-untyped-call]


class TolerantTransport(Transport):
    """The transport of all our applications."""

    Channel = TolerantChannel
