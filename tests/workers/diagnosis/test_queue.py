"""What `doctor` finds at Redis, and the remedy that it names."""

from collections.abc import Iterator

import pytest
import redis

from tests.support.doctor import trouble
from tests.support.stack import Stack
from tests.support.watching import until
from workers.diagnosis import queue
from workers.diagnosis.trouble import Trouble
from workers.queue.local_stack import local_redis, stack_folder
from workers.settings import Settings

SPOILED = {
    "password": (
        "CONFIG SET requirepass s3cret",
        "CONFIG SET requirepass ''",
        "Authentication required",
        "PASSWORD@HOST",
    ),
    "full": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "maxmemory", "CONFIG SET maxmemory 0"),
    "replica": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "read only replica", "INFO replication"),
    "evicting": (
        "CONFIG SET maxmemory-policy allkeys-lru",
        "CONFIG SET maxmemory-policy noeviction",
        "may evict messages",
        "CONFIG SET maxmemory-policy noeviction",
    ),
}


@pytest.fixture(scope="module")
def own_redis() -> Iterator[str]:
    """The URL of a Redis server that these tests may spoil."""
    with stack_folder() as folder, local_redis(folder) as url:
        yield url


@pytest.mark.parametrize(("spoil", "restore", "found", "mend"), SPOILED.values(), ids=SPOILED)
def test_what_is_wrong_with_redis(spoil: str, restore: str, found: str, mend: str, own_redis: str) -> None:
    settings = Settings(broker_url=own_redis)
    assert "answers" in queue.broker(settings)
    with redis.Redis(unix_socket_path=own_redis.removeprefix("redis+socket://")) as client:
        client.execute_command(*(word.strip("'") for word in spoil.split()))
        try:
            error = trouble(queue.broker, settings)
        finally:
            client.execute_command(*(word.strip("'") for word in restore.split()))
    assert found in str(error) and mend in error.mend
    assert "answers" in queue.broker(settings)


def test_a_wrong_password_is_named_and_not_shown(own_redis: str) -> None:
    with redis.Redis(unix_socket_path=own_redis.removeprefix("redis+socket://")) as client:
        client.acl_setuser("anna", enabled=True, passwords=["+right"], categories=["+@all"], keys=["*"])
    url = own_redis.replace("redis+socket://", "redis+socket://anna:wr0ng@")
    error = trouble(queue.broker, Settings(broker_url=url))
    assert "password" in error.mend and "wr0ng" not in str(error)


def test_no_redis_at_all() -> None:
    assert "redis-server" in trouble(queue.broker, Settings(broker_url="redis://127.0.0.1:1/0")).mend


def test_workers_whose_messages_come_back_too_early(stack: Stack) -> None:
    # It may still be starting.
    until(lambda: queue.limits(Settings(broker_url=stack.broker_url)).startswith("1 worker answer"), 120)
    found: list[Trouble] = []

    def is_told() -> bool:
        # A busy worker may answer too late.
        try:
            queue.limits(Settings(broker_url=stack.broker_url, shard_timeout_seconds=7200))
        except Trouble as error:
            found.append(error)
        return bool(found)

    until(is_told, 120)
    assert "after 1320 s" in str(found[0]) and "FER_SHARD_TIMEOUT_SECONDS" in found[0].mend
