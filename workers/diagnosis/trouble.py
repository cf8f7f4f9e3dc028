"""What a check of `fer-batch doctor` raises, and how it finds the remedy."""

from collections.abc import Iterator, Mapping

from workers.errors import WorkersError


class Trouble(WorkersError):
    """A check failed; `mend` is the remedy, with its command."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(found)
        self.mend = mend


class Unknown(WorkersError):
    """A check could not be made, because of a failure that another check reports."""


def remedy(error: BaseException, known: Mapping[type[Exception], str], other: str) -> str:
    """What helps against an error, by its class or a cause's: the first class of `known` that fits, else `other`."""
    for cause in _causes(error):
        for kind, words in known.items():
            if isinstance(cause, kind):
                return words
    return other


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
