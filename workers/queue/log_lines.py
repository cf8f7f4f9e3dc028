"""The worker's log: names of files in it, which strangers chose, can neither break a line nor obey the terminal."""

import logging
from typing import Any

from celery.signals import after_setup_logger, after_setup_task_logger

from results.printable import shown


def escaped(record: logging.LogRecord) -> bool:
    """A filter of a log handler, which lets everything pass: message and traceback with only their own line breaks."""
    if isinstance(record.args, tuple):
        record.args = tuple(shown(str(each)) if isinstance(each, str | Exception) else each for each in record.args)
    record.msg, record.args = _lines(record.getMessage()), ()
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    record.exc_text = record.exc_text and _lines(record.exc_text)
    return True


def _lines(text: str) -> str:
    return "\n".join(map(shown, text.split("\n")))


def _escape(logger: logging.Logger, **others: Any) -> None:
    for handler in logger.handlers:
        handler.addFilter(escaped)


# Celery imports this module in the worker and in each of its children, before they set up their logs.
for signal in (after_setup_logger, after_setup_task_logger):
    signal.connect(_escape)
