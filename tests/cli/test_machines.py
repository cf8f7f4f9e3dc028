"""Machines that lack something: one sentence on stderr and exit code 1, or the work is done all the same."""

import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import create_server

import pytest

from results.database import connect, upgrade
from results.errors import ForeignDatabaseError
from tests.support.cluster import end, start_redis
from tests.support.commands import fer_batch
from tests.support.databases import query
from tests.support.disks import small_disk
from tests.support.launching import started
from tests.support.live_servers import free_port
from tests.support.planning import planned
from tests.support.watching import fetch, until
from workers.queue.local_stack import stack_folder

CLI = (sys.executable, "-P", "-m", "cli")
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and user namespaces need root")


def in_shell(line: str, *words: str, **environment: str | None) -> "subprocess.CompletedProcess[str]":
    """Runs a line of shell in which "$@" is the command line; None removes a variable."""
    given = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    command = ["sh", "-c", line, "sh", *CLI, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=given, check=False)


def sentence(run: "subprocess.CompletedProcess[str]") -> str:
    """The last line on stderr of a command that failed without a traceback."""
    assert run.returncode == 1 and "Traceback" not in run.stderr, run.stderr
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    return last


def test_a_user_without_a_home_learns_what_to_set(broker: str, tmp_path: Path) -> None:
    stranger = 'unshare --user --map-user=12345 --map-group=12345 "$@"'
    if in_shell(stranger, "--version").returncode:
        pytest.skip("no user namespaces here")
    words = ("worker", "--broker", broker, "--db", f"sqlite:///{tmp_path / 'results.db'}")
    assert "FER_CACHE_DIR" in sentence(in_shell(stranger, *words, HOME=None, FER_CACHE_DIR=None))
    assert "FER_MODELS_DIR" in sentence(in_shell(stranger, *words, HOME=None, FER_MODELS_DIR=None))
    assert "--data" in sentence(in_shell(stranger, "up", "--port", "1", HOME=None)) or os.geteuid() == 0


def test_a_user_without_a_home_can_work(samples: Path, tmp_path: Path) -> None:
    stranger = 'unshare --user --map-user=12345 --map-group=12345 "$@"'
    if in_shell(stranger, "--version").returncode:
        pytest.skip("no user namespaces here")
    url = f"sqlite:///{tmp_path / 'results.db'}"
    run = in_shell(stranger, "run", str(samples / "zidane.jpg"), "--db", url, HOME=None)
    assert run.returncode == 0, run.stderr
    assert query(url, "SELECT state FROM jobs") == [("done",)]


IN_A_DELETED_FOLDER = 'mkdir {0} && cd {0} && rmdir {0} && exec "$@"'


def test_a_deleted_current_folder_does_not_matter_to_absolute_paths(samples: Path, tmp_path: Path) -> None:
    line, url = IN_A_DELETED_FOLDER.format(tmp_path / "gone"), f"sqlite:///{tmp_path / 'results.db'}"
    run = in_shell(line, "run", str(samples / "zidane.jpg"), "--db", url)
    assert run.returncode == 0, run.stderr
    assert query(url, "SELECT state FROM jobs") == [("done",)]
    for words in (
        ["jobs"],
        ["timeline"],
        ["annotate", "-o", str(tmp_path / "out")],
        ["doctor", "--broker", "redis://x"],
    ):
        run = in_shell(line, *words, FER_DATABASE_URL=url)
        assert "Traceback" not in run.stderr and run.returncode == (words[0] == "doctor"), run.stderr


@pytest.mark.parametrize(
    "words", [["run", "film.mp4"], ["jobs"], ["run", "{samples}/zidane.jpg"], ["up", "--port", "1"]]
)
def test_a_relative_path_in_a_deleted_current_folder_is_refused(
    words: list[str], samples: Path, tmp_path: Path
) -> None:
    line = IN_A_DELETED_FOLDER.format(tmp_path / "gone")
    run = in_shell(line, *(word.format(samples=samples) for word in words))
    assert "The current folder was deleted" in sentence(run)


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&- <&-"])
def test_closed_streams(closed: str, samples: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    run = in_shell(f'exec "$@" {closed}', "run", str(samples / "zidane.jpg"), "--db", url)
    assert run.returncode == 0, run.stderr
    assert query(url, "SELECT state FROM jobs") == [("done",)]


@NEEDS_ROOT
def test_a_read_only_tmp_with_tmpdir(samples: Path, tmp_path: Path) -> None:
    other = Path(f"/var/tmp/fer-{os.getpid()}")
    other.mkdir()
    url = f"sqlite:///{other / 'results.db'}"
    picture = shutil.copy(samples / "zidane.jpg", other)
    for name in ("FER_CACHE_DIR", "FER_MODELS_DIR"):
        shutil.copytree(os.environ[name], other / name)
    environment = {name: str(other / name) for name in ("FER_CACHE_DIR", "FER_MODELS_DIR")}
    try:
        read_only = "mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp"
        line = f'exec unshare --mount sh -c \'{read_only} && exec "$@"\' sh "$@"'
        run = in_shell(line, "run", str(picture), "--db", url, TMPDIR=str(other), **environment)
        if "Operation not permitted" in run.stderr:
            pytest.skip("no mount namespaces here")
        assert run.returncode == 0, run.stderr
        assert query(url, "SELECT state FROM jobs") == [("done",)]
    finally:
        shutil.rmtree(other)


def test_sockets_lie_in_tmpdir_unless_its_path_is_too_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short = Path(f"/var/tmp/fer-{os.getpid()}-short")
    long = tmp_path / ("long" * 30)
    short.mkdir()
    long.mkdir()
    try:
        monkeypatch.setenv("TMPDIR", str(short))
        with stack_folder() as folder:
            assert folder.parent == short
        monkeypatch.setenv("TMPDIR", str(long))
        with stack_folder() as folder:
            assert folder.parent != long and len(str(folder / "redis.sock")) < 100
    finally:
        short.rmdir()


@NEEDS_ROOT
def test_a_disk_that_fills_up_while_a_job_runs_ends_it(samples: Path, tmp_path: Path) -> None:
    """The rows of four hundred frames, each face with its members' scores, find no room."""
    clips = [str(samples / "clip.mp4"), str(shutil.copy(samples / "clip.mp4", tmp_path / "again.mp4"))]
    with small_disk(tmp_path / "disk", "800k") as disk:
        url = f"sqlite:///{disk / 'results.db'}"
        run = fer_batch("run", *clips, "--keep-member-scores", "--db", url)
        assert run.returncode == 1 and "Traceback" not in run.stderr, run.stderr
        assert "no room left on the disk" in run.stderr
        ((state,),) = query(url, "SELECT state FROM jobs")
        assert state in ("failed", "cancelled")


@NEEDS_ROOT
def test_a_disk_without_any_room(samples: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "700k") as disk:
        url = f"sqlite:///{disk / 'results.db'}"
        upgrade(url)
        with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        run = fer_batch("run", str(samples), "--db", url)
        assert "no room left on the disk" in sentence(run)


@NEEDS_ROOT
def test_a_disk_that_fills_up_leaves_no_shard_of_a_worker_running(samples: Path, broker: str, tmp_path: Path) -> None:
    """The shard fails, with the reason; with room again, `retry` does it."""
    with small_disk(tmp_path / "disk", "1200k") as disk:
        url = f"sqlite:///{disk / 'results.db'}"
        where = ("--broker", broker, "--db", url)
        upgrade(url)
        worker = started(["worker", *where], {}, tmp_path / "worker.log")
        try:
            clip = str(samples / "clip.mp4")
            job = fer_batch("submit", clip, "--keep-member-scores", *where).stdout.strip()
            until(lambda: query(url, "SELECT sum(frames) FROM shards")[0][0], seconds=120)
            with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))
            until(lambda: query(url, "SELECT state FROM shards") == [("failed",)], seconds=120)
            assert "no room left on the disk" in str(query(url, "SELECT error FROM shards"))
            assert worker.poll() is None
            subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
            assert fer_batch("retry", job, *where).returncode == 0
            until(lambda: query(url, "SELECT state FROM jobs") == [("done",)], seconds=120)
        finally:
            end(worker)


FOREIGN = {
    "tables of the same names": ["CREATE TABLE jobs (id INTEGER PRIMARY KEY, title TEXT)"],
    "Alembic's table, of an unknown revision": [
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('a1b2c3d4')",
    ],
    "Alembic's table, of a revision that we have too": [
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('0002')",
    ],
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_the_database_of_another_program_is_refused(statements: list[str], database_url: str, samples: Path) -> None:
    database = connect(database_url)
    with database.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    database.dispose()
    before = everything(database_url)
    with pytest.raises(ForeignDatabaseError, match="belongs to another program"):
        upgrade(database_url)
    for words in (["run", str(samples)], ["jobs"], ["db", "upgrade"]):
        assert "belongs to another program" in sentence(fer_batch(*words, FER_DATABASE_URL=database_url))
    assert everything(database_url) == before


def everything(url: str) -> object:
    """The bytes of an SQLite file, the tables of a PostgreSQL database."""
    if url.startswith("sqlite"):
        return Path(url.removeprefix("sqlite:///")).read_bytes()
    return query(url, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")


def test_a_database_that_others_use_too_is_taken_if_no_name_collides(database_url: str) -> None:
    database = connect(database_url)
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE invoices (id INTEGER PRIMARY KEY)")
    database.dispose()
    upgrade(database_url)
    upgrade(database_url)
    assert query(database_url, "SELECT count(*) FROM jobs") == [(0,)]


@pytest.fixture
def own_redis() -> Iterator[str]:
    """The URL of a Redis server that a test may spoil."""
    with stack_folder() as folder:
        process = start_redis(folder)
        yield f"redis+socket://{folder}/redis.sock"
        end(process)


SPOILED = {
    "full": ("config set maxmemory 1", "config set maxmemory 0", "maxmemory"),
    "a replica": ("replicaof 127.0.0.1 1", "replicaof no one", "read only replica"),
}


def order(url: str, words: str) -> None:
    import redis

    with redis.Redis(unix_socket_path=url.removeprefix("redis+socket://")) as client:
        client.execute_command(*words.split())


@pytest.mark.parametrize(("spoil", "mend", "reason"), SPOILED.values(), ids=SPOILED)
def test_a_redis_that_takes_no_messages(
    spoil: str, mend: str, reason: str, own_redis: str, samples: Path, tmp_path: Path
) -> None:
    """Commands find it before they write; a worker that is at work waits for its recovery."""
    url, log = f"sqlite:///{tmp_path / 'results.db'}", tmp_path / "worker.log"
    words = ("--broker", own_redis, "--db", url)
    worker = started(["worker", *words], {}, log)
    try:
        wait_for_words(log, worker, "ready for work")
        order(own_redis, spoil)
        for command in (["submit", str(samples / "zidane.jpg")], ["worker"]):
            error = sentence(fer_batch(*command, *words))
            assert "takes no messages" in error and reason in error
        doctor = fer_batch("doctor", *words)
        assert doctor.returncode == 1 and "takes no messages" in " ".join(doctor.stdout.split())
        # A job whose message was lost: the sweep wants to send it. Celery alone would write after 100 s.
        database = connect(url)
        planned(database, [samples / "bus.jpg"])
        database.dispose()
        wait_for_words(log, worker, reason)
        order(own_redis, mend)
        job = fer_batch("submit", str(samples / "zidane.jpg"), *words)
        assert job.returncode == 0
        state = "SELECT state FROM jobs WHERE id = :job"
        until(lambda: query(url, state, job=job.stdout.strip()) == [("done",)], 120)
        assert worker.poll() is None
    finally:
        end(worker)


def wait_for_words(log: Path, worker: "subprocess.Popen[bytes]", words: str) -> None:
    until(lambda: words in log.read_text() or worker.poll() is not None, 120)
    assert worker.poll() is None and words in log.read_text(), log.read_text()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    command = ["openssl", *words.split(), "-keyout", str(path), "-out", f"{path}.part"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.part").read_text())
    return path


@pytest.fixture
def tls_port(certificate: Path, broker: str) -> Iterator[int]:
    """A port at which Redis answers by TLS: the build of the tests has none, so a proxy does it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve_tls, args=(listener, context, broker), daemon=True).start()
        yield listener.getsockname()[1]


def serve_tls(listener: object, context: ssl.SSLContext, broker: str) -> None:
    while True:
        try:
            plain, _ = listener.accept()  # type: ignore[attr-defined]
        except OSError:
            return
        with suppress(OSError):
            client = context.wrap_socket(plain, server_side=True)
            server = unix_connection(broker)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


def unix_connection(broker: str) -> object:
    from socket import AF_UNIX, socket

    connection = socket(AF_UNIX)
    connection.connect(broker.removeprefix("redis+socket://"))
    return connection


def pump(source: object, target: object) -> None:
    with suppress(OSError, ValueError):
        while data := source.recv(65536):  # type: ignore[attr-defined]
            target.sendall(data)  # type: ignore[attr-defined]
    for end_ in (source, target):
        with suppress(OSError):
            end_.close()  # type: ignore[attr-defined]


def test_certificates_are_verified_unless_the_url_says_otherwise(tls_port: int, certificate: Path) -> None:
    def doctor(query: str) -> str:
        run = fer_batch("doctor", "--json", "--broker", f"rediss://localhost:{tls_port}/0{query}")
        import json

        return str(next(check for check in json.loads(run.stdout)["checks"] if check["name"] == "broker"))

    for unverified in ("", "?ssl_cert_reqs=required", "?ssl_check_hostname=true"):
        assert "CERTIFICATE_VERIFY_FAILED" in doctor(unverified), unverified
    for accepted in ("?ssl_cert_reqs=none", f"?ssl_ca_certs={certificate}"):
        assert "answers" in doctor(accepted), accepted


def test_flower_verifies_as_the_url_says(tls_port: int, certificate: Path, tmp_path: Path) -> None:
    """Its page of queues has a client of its own."""
    port, log = free_port(), tmp_path / "flower.log"
    url = f"rediss://localhost:{tls_port}/0?ssl_ca_certs={certificate}"
    words = [*CLI, "flower", "--port", str(port), "--broker", url, "--db", f"sqlite:///{tmp_path / 'none.db'}"]
    with log.open("w") as output:
        flower = subprocess.Popen(
            words, stdout=output, stderr=output, env={**os.environ, "FER_FLOWER_AUTH": "fer:word"}
        )
    try:
        page = f"http://127.0.0.1:{port}/api/queues/length"
        until(lambda: flower.poll() is not None or fetch(page, "fer:word")[0] == 200)
        assert '"messages"' in fetch(page, "fer:word")[1], log.read_text()
        assert "CERTIFICATE" not in log.read_text()
    finally:
        flower.terminate()
        flower.wait(60)
