"""`jobs`: the list of jobs."""

import json

from tests.support.commands import succeed
from tests.support.stack import Stack


def test_jobs_lists_the_newest_first(stack: Stack, job: str) -> None:
    jobs = json.loads(succeed("jobs", "--json", **stack.environment).stdout)
    assert job in [each["job"] for each in jobs]
    assert [each["job"] for each in jobs] == sorted((each["job"] for each in jobs), reverse=True)
    assert job in succeed("jobs", **stack.environment).stdout


def test_a_narrow_terminal_wraps_lines_and_cuts_no_number_off(stack: Stack, job: str) -> None:
    narrow, wide = (succeed("jobs", **stack.environment, COLUMNS=columns).stdout for columns in ("40", "80"))
    # Other tests' jobs have longer names.
    (row,) = [line for line in wide.splitlines() if job in line]
    assert narrow == wide and "…" not in row
