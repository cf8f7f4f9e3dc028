"""`status` of a finished job."""

import json

from tests.support.commands import fer_batch, succeed
from tests.support.databases import query
from tests.support.stack import Stack


def test_status_as_json_has_the_promised_keys(stack: Stack, job: str) -> None:
    status = json.loads(succeed("status", job, "--json", **stack.environment).stdout)
    keys = {"job", "state", "media", "shards", "frames", "faces", "fps", "eta_seconds", "errors", "models"}
    assert set(status) == keys
    assert [row["role"] for row in status["models"]] == ["detector", "classifier", "classifier"]
    assert status["shards"] == {"pending": 0, "running": 0, "done": 2, "failed": 0}
    assert (status["media"], status["frames"], status["errors"]) == (3, 52, [])
    assert query(stack.database_url, "SELECT count(*) FROM faces WHERE media_id IN "
                 "(SELECT id FROM media WHERE job_id = :job)", job=job) == [(status["faces"],)]  # fmt: skip


def test_an_unknown_job_is_one_sentence(stack: Stack) -> None:
    run = fer_batch("status", "19990101", **stack.environment)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.strip() == "Error: There is no job '19990101'."
