"""Celery applications: made from explicit settings, several in one process, with nothing read from the environment."""

import pickle
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest
from celery import Celery
from celery.app.utils import bugreport
from kombu.transport.redis import Transport
from sqlalchemy import Engine as Database

from results.database import connect, upgrade
from tests.support.commands import ROOT
from tests.support.databases import query
from tests.support.watching import output_of
from workers.batch.planning import BatchOptions
from workers.batch.submitting import submit
from workers.errors import BrokerUnreachableError, WorkersError
from workers.metrics.serving import depths
from workers.queue.app import make_app, settings_of
from workers.queue.broker import check_broker
from workers.queue.dispatching import resume, sweep
from workers.queue.local_stack import local_redis, stack_folder
from workers.settings import Settings

SECRET = "hidden-word"


@pytest.fixture
def app() -> Celery:
    return make_app(Settings())


def test_celery_speaks_json_spawns_and_keeps_its_limits_in_order(app: Celery) -> None:
    assert (app.conf.task_serializer, app.conf.accept_content) == ("json", ["json"])
    assert app.conf.worker_pool_start_method == "spawn"
    assert (app.conf.worker_concurrency, app.conf.worker_prefetch_multiplier) == (1, 1)
    assert app.conf.task_acks_late and app.conf.task_ignore_result
    assert app.conf.task_reject_on_worker_lost is False
    assert app.conf.task_soft_time_limit < app.conf.task_time_limit < app.conf.visibility_timeout
    places = (app.conf.broker_transport_options, app.conf.result_backend_transport_options)
    assert all(place["visibility_timeout"] == app.conf.visibility_timeout for place in places)


def test_a_redis_server_that_is_cut_off_is_given_up(app: Celery) -> None:
    options = app.conf.broker_transport_options
    # Waiting for a message must not take as long as an answer may.
    assert Transport.brpop_timeout < options["health_check_interval"] < options["socket_timeout"] <= 20
    assert options["socket_keepalive"]


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(WorkersError, match=r"FER_SHARD_TIMEOUT_SECONDS is inf, .* contradict each other"):
        make_app(Settings(shard_timeout_seconds=inf))


def test_tasks_belong_to_every_application_made_before_or_after() -> None:
    before = make_app(Settings())
    import workers.tasks  # noqa: F401

    for app in (before, make_app(Settings())):
        assert {"process_shard", "train", "finish_job"} <= set(app.tasks)
        assert app.tasks["process_shard"].app is app


@pytest.fixture(scope="module")
def two_brokers() -> Iterator[tuple[str, str]]:
    """The URLs of two Redis servers."""
    with (
        stack_folder() as first,
        stack_folder() as second,
        local_redis(first) as one,
        local_redis(second) as other,
    ):
        yield one, other


@pytest.fixture
def two_places(two_brokers: tuple[str, str], tmp_path: Path) -> Iterator[list[tuple[Celery, Database]]]:
    """Two applications in this process, each with a broker, a queue, a database and a lease of its own."""
    places = []
    for number, broker in enumerate(two_brokers):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        upgrade(url)
        lease_s = 30 + number
        own = Settings(database_url=url, broker_url=broker, queues=f"queue-{number}", lease_seconds=lease_s)
        places.append((make_app(own), connect(url)))
    yield places
    for app, database in places:
        app.close()
        database.dispose()


def test_two_settings_in_one_process_keep_their_jobs_apart(
    two_places: list[tuple[Celery, Database]], samples: Path
) -> None:
    for turn in (1, 2):
        for app, database in two_places:
            check_broker(app)
            submit(app, database, [str(samples / "zidane.jpg")], BatchOptions())
            assert depths(app) == {settings_of(app).queues: turn}
    for app, database in two_places:
        url, queue = settings_of(app).database_url, settings_of(app).queues
        assert query(url, "SELECT queue, count(*) FROM jobs GROUP BY queue") == [(queue, 2)]
        # Neither finds anything of the other's, and nothing of its own is lost.
        assert sweep(app, database, [queue], age_s=0) == resume(app, database) == {}
        assert depths(app) == {queue: 2}


def test_what_media_must_lie_below_belongs_to_the_settings(
    two_places: list[tuple[Celery, Database]], samples: Path, tmp_path: Path
) -> None:
    (free, database), (other, _) = two_places
    bound = make_app(settings_of(other).model_copy(update={"media_roots": str(tmp_path)}))
    with pytest.raises(WorkersError, match="lies outside FER_MEDIA_ROOTS"):
        submit(bound, database, [str(samples / "zidane.jpg")], BatchOptions())
    assert submit(free, database, [str(samples / "zidane.jpg")], BatchOptions()).shards == 1


def test_an_unreachable_broker_is_named_without_its_password() -> None:
    app = make_app(Settings(broker_url=f"redis://:{SECRET}@127.0.0.1:1/0"))
    with pytest.raises(BrokerUnreachableError, match=r"redis://:\*\*\*@127\.0\.0\.1:1/0 cannot be reached"):
        check_broker(app)


def secretive() -> Settings:
    return Settings(
        database_url=f"postgresql://fer:{SECRET}@db/fer",
        broker_url=f"redis://:{SECRET}@redis:6379/0",
        flower_auth=f"anna:{SECRET}",
    )


def test_a_spawned_child_gets_the_settings_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = secretive()
    sent = pickle.dumps(make_app(settings))
    monkeypatch.setenv("FER_DATABASE_URL", "sqlite:///another.db")
    monkeypatch.setenv("FER_LEASE_SECONDS", "nonsense")
    received = settings_of(pickle.loads(sent))
    assert received == settings and received.flower_auth == settings.flower_auth
    assert SECRET in received.database_url


def test_what_celery_tells_of_its_configuration_holds_no_password() -> None:
    app = make_app(secretive())
    for text in (app.conf.table(), app.conf.table(with_defaults=True), app.conf.humanize(), bugreport(app), repr(app)):
        assert SECRET not in str(text)


def test_importing_configures_nothing_and_reads_no_variable_of_ours() -> None:
    program = """
import importlib, os, pkgutil
import tqdm  # a library that goes through all variables
read, plain = set(), type(os.environ).__getitem__
def noted(environment, name):
    read.add(name)
    return plain(environment, name)
type(os.environ).__getitem__ = noted
import workers
for module in pkgutil.walk_packages(workers.__path__, "workers."):
    importlib.import_module(module.name)
from celery import _state
print(sorted(name for name in read if name.startswith("FER_")), _state.default_app)
"""
    broken = {"FER_LEASE_SECONDS": "nonsense", "FER_DATABASE_URL": "nonsense", "FER_BROKER_URL": "nonsense"}
    assert output_of(program, **broken) == "[] None"


def test_celerys_own_command_line_is_configured_by_the_environment(broker: str) -> None:
    program = """
import sys
from celery.__main__ import main
sys.argv = ["celery", "--app", "workers.queue.app", "report"]
main()
"""
    text = output_of(program, FER_BROKER_URL=broker, FER_DATABASE_URL=f"postgresql://fer:{SECRET}@db/fer")
    assert "fer_secret_settings: '********'" in text and f"broker_url: '{broker}" in text
    assert SECRET not in text
    assert "--app workers.queue.app " in (ROOT / "docker-compose.yml").read_text()
