"""Whether the broker answers and takes messages, and whether a worker is there to receive them."""

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError, ResponseError

from workers.errors import BrokerUnreachableError
from workers.queue.app import settings_of
from workers.settings import mask

BROKER_ERRORS = (OSError, OperationalError, RedisError)
"""What sending a message raises during an outage of the broker."""

TIMEOUT_S = 5.0

INSPECTION_S = 1.0

PROBE = "fer-batch-probe"
"""A key that is written to learn whether Redis is full or read-only; it expires at once."""


def check_broker(app: Celery) -> None:
    """Raises `BrokerUnreachableError` unless the broker answers within five seconds and can be written to."""
    where = mask(settings_of(app).broker_url)
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=0, timeout=TIMEOUT_S)
            connection.default_channel.client.set(PROBE, "", px=1)
    except (KeyError, ValueError, AttributeError) as error:
        raise BrokerUnreachableError(f"{where} is not a broker's URL; write redis://HOST:PORT/0.") from error
    except ResponseError as error:
        raise BrokerUnreachableError(
            f"The broker at {where} takes no messages ({str(error).rstrip('.')}); it must have room in its memory and "
            "permit writing, which a replica does not."
        ) from error
    except BROKER_ERRORS as error:
        reason = str(error.__cause__ or error).rstrip(".") or type(error).__name__
        raise BrokerUnreachableError(
            f"The broker at {where} cannot be reached ({reason}); start Redis (`fer-batch up`), or give its address "
            "with --broker."
        ) from error


def is_served(app: Celery, queue: str) -> bool:
    """Whether a worker that answers within a second serves the queue; one that is very busy may not."""
    found = app.control.inspect(timeout=INSPECTION_S).active_queues() or {}
    return any(served["name"] == queue for worker in found.values() for served in worker)
