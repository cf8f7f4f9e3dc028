"""Three hosts, as network namespaces: one with Redis and PostgreSQL, and a worker on each of the others."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import select

from results.database import connect, reading, upgrade
from results.tables import Shard
from tests.support.chaos import OPTIONS
from tests.support.cluster import (
    WORKER,
    end,
    local_url,
    make_postgresql,
    pg_ctl,
    start,
    start_redis,
    submit,
    wait_for,
)
from tests.support.comparing import differences, ended, miscounted, rows_of
from tests.support.faults import shard_of
from tests.support.freezing import freeze_at_work
from tests.support.media import write_media

SERVER, SECRET = "10.77.0.1", "secret"
HOSTS = {"a": "10.77.0.2", "b": "10.77.0.3"}


def ip(*words: str) -> None:
    """Runs `ip`. Raises `OSError` with its output if that fails."""
    run = subprocess.run(["ip", *words], capture_output=True, text=True)
    if run.returncode:
        raise OSError(f"ip {' '.join(words)}: {run.stderr.strip()}")


@dataclass
class Network:
    """Namespaces `{name}s`, `{name}a` and `{name}b`; a bridge in the first is the cable."""

    name: str

    def within(self, host: str) -> list[str]:
        """The prefix of a command that runs it on a host."""
        return ["ip", "netns", "exec", self.name + host]

    def cut(self, host: str) -> None:
        """Unplugs the cable: neither side learns that the connections are gone."""
        ip("-n", f"{self.name}s", "link", "set", "dev", host, "down")

    def mend(self, host: str) -> None:
        """Plugs the cable back in."""
        ip("-n", f"{self.name}s", "link", "set", "dev", host, "up")


@pytest.fixture
def network() -> Iterator[Network]:
    """Skips the test where namespaces cannot be made."""
    if shutil.which("ip") is None or shutil.which("setpriv") is None or os.geteuid() != 0:
        pytest.skip("making hosts takes root, `ip` (iproute2) and `setpriv` (util-linux)")
    made = Network(f"fer{os.getpid()}")
    with ExitStack() as stack:
        for host in ("s", *HOSTS):
            space = made.name + host
            try:
                ip("netns", "add", space)
            except OSError as error:
                pytest.skip(f"this machine makes no hosts ({error})")
            stack.callback(subprocess.run, ["ip", "netns", "delete", space], check=True)
            ip("-n", space, "link", "set", "lo", "up")
        ip("-n", f"{made.name}s", "link", "add", "bridge", "type", "bridge")
        ip("-n", f"{made.name}s", "address", "add", f"{SERVER}/24", "dev", "bridge")
        ip("-n", f"{made.name}s", "link", "set", "bridge", "up")
        for host, address in HOSTS.items():
            space = made.name + host
            ip("-n", space, "link", "add", "eth0", "type", "veth", "peer", "name", host, "netns", f"{made.name}s")
            ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", f"{made.name}s", "link", "set", "dev", host, "master", "bridge", "up")
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can enter, with a path short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="fer-hosts-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def environment(network: Network, folder: Path) -> Iterator[dict[str, str]]:
    """Runs Redis and PostgreSQL on the first host; yields the environment for the other hosts."""
    redis = start_redis(folder, network.within("s"), port="6379", bind=SERVER, requirepass=SECRET)
    server = make_postgresql(folder / "data")
    with (server.pgdata / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {SERVER}/24 scram-sha-256\n")
    user = pwd.getpwnam(server.system_user)
    person = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    listen = f"-h {SERVER} -k {server.pgdata}"
    command = [str(server.bin_path / "pg_ctl"), "-w", "-D", str(server.pgdata), "-o", listen]
    started = [*network.within("s"), *person, *command, "-l", str(server.pgdata / "log"), "start"]
    # No pipe, which the server would keep open for ever.
    subprocess.run(started, check=True, timeout=60, stdout=subprocess.DEVNULL)
    with psycopg.connect(local_url(server), autocommit=True) as admin:
        admin.execute(f"ALTER USER postgres PASSWORD '{SECRET}'".encode())
    upgrade(local_url(server))
    yield {
        "FER_BROKER_URL": f"redis://:{SECRET}@{SERVER}:6379/0",
        "FER_DATABASE_URL": f"postgresql://postgres:{SECRET}@{SERVER}/postgres",
        "FER_LEASE_SECONDS": "5",
        "FER_DEVICE": "cpu",
    }
    pg_ctl(server, "stop", "-m", "immediate")
    end(redis)


@pytest.fixture
def database(environment: dict[str, str], folder: Path) -> Iterator[Database]:
    """The same database through its socket, which a cut cable does not affect."""
    database = connect(f"postgresql://postgres@/postgres?host={folder / 'data'}")
    yield database
    database.dispose()


Workers = dict[str, "subprocess.Popen[bytes]"]


@pytest.fixture
def workers(network: Network, environment: dict[str, str], folder: Path) -> Iterator[Workers]:
    """A worker on each of the other hosts."""
    started = {
        host: start([*network.within(host), *WORKER, host], folder / f"{host}.log", environment) for host in HOSTS
    }
    yield started
    for host, process in started.items():
        end(process)
        print(f"--- log of the worker on {host} ---\n{(folder / f'{host}.log').read_text()}")


@pytest.mark.timeout(900)
def test_a_host_is_cut_off_and_comes_back(
    prepared: None,
    network: Network,
    environment: dict[str, str],
    folder: Path,
    database: Database,
    workers: Workers,
    tmp_path: Path,
) -> None:
    """The other worker does its shard, its late writes are rejected, and it works on after it is reconnected."""
    media = write_media(tmp_path / "media", seconds=8, pictures=20)
    calm = submit(media, OPTIONS, environment, network.within("a"))
    wait_for(lambda: ended(database, calm), "the quiet job", 300)

    job, shard_id, epoch = cut_off_at_work(database, network, environment, workers["b"], media)
    wait_for(lambda: shard_of(database, shard_id) != (epoch, "running"), "another has its shard", 120)
    wait_for(lambda: shard_of(database, shard_id) == (epoch + 1, "done"), "and does it", 120)
    network.mend("b")
    wait_for(lambda: ended(database, job), "the job", 300)

    # A worker that waits for work detects the cut too, although no error arrives: TCP alone would take hours.
    noticed = (folder / "b.log").read_text().count("sweep failed")
    network.cut("b")
    wait_for(lambda: (folder / "b.log").read_text().count("sweep failed") > noticed, "b notices", 120)
    network.mend("b")
    # Without another worker, only the one that was cut off can do this.
    end(workers["a"])
    last = submit(media, ("--every", "50"), environment, network.within("a"))
    wait_for(lambda: ended(database, last), "b is back", 300)

    for table, found in differences(rows_of(database, calm), rows_of(database, job)).items():
        assert (found.lost, found.added, found.different) == (0, 0, 0), table
        assert found.rows, "there was something to lose"
    assert miscounted(database, job) == 0
    assert shard_of(database, shard_id) == (epoch + 1, "done"), "done once more, by one worker"
    for each in (job, last):
        with reading(database) as session:
            assert set(session.scalars(select(Shard.state).where(Shard.job_id == each))) == {"done"}


def cut_off_at_work(
    database: Database,
    network: Network,
    environment: dict[str, str],
    worker: "subprocess.Popen[bytes]",
    media: Path,
) -> tuple[str, int, int]:
    """Cuts b off in the middle of a shard; returns the job, the shard and its epoch."""
    while True:
        job = submit(media, OPTIONS, environment, network.within("a"))
        # The other worker may be faster, and do the whole job.
        found = wait_for(partial(frozen_or_ended, database, worker, job), "b is at work", 120)
        if isinstance(found, tuple):
            network.cut("b")
            # If it had sent its rows just before, they would count, and the cut would have no effect.
            time.sleep(1)
            still_its = shard_of(database, found[0]) == (found[1], "running")
            os.killpg(worker.pid, signal.SIGCONT)
            if still_its:
                return job, *found
            network.mend("b")
        wait_for(partial(ended, database, job), "the job", 300)


def frozen_or_ended(database: Database, worker: "subprocess.Popen[bytes]", job: str) -> tuple[int, int] | bool:
    return freeze_at_work(database, worker) or ended(database, job)
