"""`status --verbose`: every attempt that ended without results."""

import json
from pathlib import Path

from results.database import connect, upgrade, writing
from results.leases import claim, fail, postpone, requeue
from tests.support.commands import succeed
from tests.support.rows import FOUR_PICTURES, TWO_PICTURES_EACH, new_job, take


def test_status_shows_each_attempt_its_worker_and_its_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'results.db'}"
    upgrade(url)
    database = connect(url)
    with writing(database) as session:
        job = new_job(session, FOUR_PICTURES, TWO_PICTURES_EACH)
        requeue(session, take(session, 1, "host-a:1"), "OSError: gone")
        postpone(session, take(session, 1, "host-b:2"), "0.jpg: is missing on host-b", 60)
        take(session, 1, "host-c:3")
        taken_over = claim(session, 1, "host-d:4", lease_s=-1)
        assert taken_over is not None
        fail(session, taken_over, "torn")
    database.dispose()
    attempts = json.loads(succeed("status", job, "--verbose", "--json", "--db", url).stdout)["attempts"]
    assert [(each["epoch"], each["worker"], each["counted"], each["error"]) for each in attempts] == [
        (1, "host-a:1", True, "OSError: gone"),
        (2, "host-b:2", False, "0.jpg: is missing on host-b"),
        (3, "host-c:3", True, "its worker died, or lost its connection to the database"),
        (4, "host-d:4", True, "torn"),
    ]
    lines = succeed("status", job, "--verbose", "--db", url).stdout.splitlines()
    (line,) = [line for line in lines if "host-b:2" in line]
    assert line.startswith("Attempt 2 at piece 1 (") and line.endswith(", not counted: 0.jpg: is missing on host-b")
    assert "Attempt" not in succeed("status", job, "--db", url).stdout
    assert "attempts" not in json.loads(succeed("status", job, "--json", "--db", url).stdout)
