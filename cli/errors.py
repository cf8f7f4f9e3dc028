"""Failures as one clear sentence on stderr and exit code 1."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from cli.standard_streams import discard
from cli.surroundings import current_folder_is_gone
from cli.views.lines import say
from results.printable import shown

GONE = " (The current folder was deleted; change to another with `cd`, or give absolute paths.)"


@contextmanager
def one_sentence() -> Iterator[None]:
    """Prints our own errors and those of the system as one sentence; with `--debug` they keep their traceback."""
    try:
        yield
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        if _reader_is_gone(error):
            # The reader of the pipe has ended. Python would fail when it flushes at exit.
            discard(sys.stdout.fileno())
            sys.exit(1)
        if "--debug" in sys.argv or not (sentence := _sentence(error)):
            raise
        say(f"Error: {sentence}{GONE if current_folder_is_gone() else ''}", err=True)
        sys.exit(1)


@contextmanager
def escaped_messages() -> Iterator[None]:
    """What was typed stands in messages about usage as `say` would print it."""
    try:
        yield
    except click.ClickException as error:
        error.message = shown(error.message)  # type: ignore[misc]
        raise


def _reader_is_gone(error: Exception) -> bool:
    # polars has the number in its message alone.
    return isinstance(error, OSError) and (error.errno == errno.EPIPE or f"(os error {errno.EPIPE})" in str(error))


def _sentence(error: Exception) -> str | None:
    from fer_model.errors import FerModelError
    from fer_model.extras import missing
    from results.errors import ResultsError
    from web.errors import WebError
    from workers.errors import WorkersError

    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, FerModelError | ResultsError | WebError | WorkersError | OSError):
        return str(error)
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object!r} is not valid UTF-8, and the database can hold nothing else."
    if type(error).__name__ == "ValidationError":
        return _settings_sentence(error)
    return missing(error)


def _settings_sentence(error: Exception) -> str | None:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return None
    first = error.errors()[0]
    return f"The setting FER_{str(first['loc'][0]).upper()} is wrong: {first['msg']} (it is {first['input']!r})."
