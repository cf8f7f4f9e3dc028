"""The end of a job is posted: signed, at least once, and not to inner addresses."""

import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import Engine as Database
from sqlalchemy import update

from results.closing import close_job
from results.database import reading, writing
from results.jobs import cancel_job, retry_job
from results.notifications import note_outcome, notify
from results.shards import complete
from results.tables import Notification
from tests.support.rows import FOUR_PICTURES, TWO_PICTURES_EACH, new_job, take
from workers.notifying import SIGNATURE, post_ends
from workers.settings import Settings

SECRET = "a long word"


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it; answers with `codes` one after the other, then 204."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.posted: list[tuple[bytes, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((body, self.headers[SIGNATURE]))
        self.send_response(self.server.codes.pop(0) if self.server.codes else 204)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def job(database: Database, receiver: Receiver) -> str:
    with writing(database) as session:
        job_id = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        notify(session, job_id, f"http://127.0.0.1:{receiver.server_port}/hook?key=hidden-word")
    return job_id


def settings(receiver: Receiver, **other: str) -> Settings:
    root = f"http://127.0.0.1:{receiver.server_port}/"
    return Settings(**{"media_roots": root, "notify_secret": SECRET, **other})  # type: ignore[arg-type]


def finish(database: Database, job: str) -> None:
    with writing(database) as session:
        for shard in (1, 2):
            complete(session, take(session, shard), [], [])
        assert close_job(session, job)


def a_minute_passes(database: Database) -> None:
    with writing(database) as session:
        session.execute(update(Notification).values(due_at=None))


def test_the_end_is_posted_once_and_signed(database: Database, receiver: Receiver, job: str) -> None:
    assert post_ends(database, settings(receiver), ["batch"]) == 0, "it has not ended"
    finish(database, job)
    assert post_ends(database, settings(receiver), ["another"]) == 0
    assert post_ends(database, settings(receiver), ["batch"]) == 1
    a_minute_passes(database)
    assert post_ends(database, settings(receiver), ["batch"]) == 0
    ((body, signature),) = receiver.posted
    assert signature == f"sha256={hmac.new(SECRET.encode(), body, 'sha256').hexdigest()}"
    told = json.loads(body)
    assert (told["job"], told["state"], told["media"], told["failed"]) == (job, "done", 4, 0)


def test_a_name_that_is_no_hosts_keeps_no_other_job_from_being_posted(
    database: Database, receiver: Receiver, job: str
) -> None:
    with writing(database) as session:
        later = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        notify(session, later, session.get_one(Notification, job).url)
        session.execute(update(Notification).where(Notification.job_id == job).values(url="http://a..b/hook"))
        assert cancel_job(session, job) and cancel_job(session, later)
    assert post_ends(database, settings(receiver), ["batch"]) == 1
    with reading(database) as session:
        assert session.get_one(Notification, job).error == "the server could not be reached (UnicodeError)"


def test_each_end_of_a_job_that_is_retried_is_posted(database: Database, receiver: Receiver, job: str) -> None:
    with writing(database) as session:
        cancel_job(session, job)
    assert post_ends(database, settings(receiver), ["batch"]) == 1
    with writing(database) as session:
        assert retry_job(session, job) == 2
        # A worker that posts the earlier end at this moment.
        note_outcome(session, job, 1, None)
    assert post_ends(database, settings(receiver), ["batch"]) == 0
    finish(database, job)
    assert post_ends(database, settings(receiver), ["batch"]) == 1
    assert [json.loads(body)["state"] for body, _ in receiver.posted] == ["cancelled", "done"]


def test_what_a_server_does_not_take_is_posted_again(database: Database, receiver: Receiver, job: str) -> None:
    with writing(database) as session:
        cancel_job(session, job)
    receiver.codes = [500, 302]
    for answered, error in ((0, "the server answered 500"), (0, "the server answered 302"), (1, None)):
        assert post_ends(database, settings(receiver), ["batch"]) == answered
        assert post_ends(database, settings(receiver), ["batch"]) == 0, "only after a minute"
        with reading(database) as session:
            assert session.get_one(Notification, job).error == error
        a_minute_passes(database)
    assert [json.loads(body)["state"] for body, _ in receiver.posted] == ["cancelled"] * 3


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"media_roots": "/media"}, "the address is not of the public internet; FER_MEDIA_ROOTS may name its host"),
        ({"notify_secret": ""}, "FER_NOTIFY_SECRET is not set on the worker"),
    ],
)
def test_nothing_is_posted_unsigned_or_to_inner_addresses(
    database: Database, receiver: Receiver, job: str, other: dict[str, str], reason: str
) -> None:
    finish(database, job)
    given = settings(receiver, **other)
    if not other.get("notify_secret", SECRET):
        given = given.model_copy(update={"notify_secret": None})
    assert post_ends(database, given, ["batch"]) == 0 and receiver.posted == []
    with reading(database) as session:
        assert session.get_one(Notification, job).error == reason
