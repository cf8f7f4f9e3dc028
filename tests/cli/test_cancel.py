"""`cancel`."""

from tests.support.commands import succeed
from tests.support.stack import Stack


def test_cancel_says_what_it_found(stack: Stack, job: str) -> None:
    run = succeed("cancel", job, **stack.environment)
    assert run.stdout.strip() == f"{job}: had ended already (done)"
