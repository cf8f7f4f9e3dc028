"""The worker's log: lines of text, or of JSON.

In a line of text names of files, which strangers chose, can neither break it nor obey the terminal.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from celery import current_app, current_task
from celery.signals import after_setup_logger, after_setup_task_logger

from results.printable import shown
from workers.queue.app import is_logged_as_json


class JsonLines(logging.Formatter):
    """A record as one JSON object: `time` (ISO 8601, UTC), `level`, `process`, `logger`, `message`.

    During a task there are `task` and `task_id` too, after a failure `exception` with the traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": at, "level": record.levelname, "process": record.processName, "logger": record.name}
        entry["message"] = record.getMessage()
        if (task := current_task) and task.request.id:
            entry |= {"task": task.name, "task_id": task.request.id}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def escaped(record: logging.LogRecord) -> bool:
    """A filter of a log handler, which lets everything pass: message and traceback with only their own line breaks."""
    if isinstance(record.args, tuple):
        record.args = tuple(shown(str(each)) if isinstance(each, str | Exception) else each for each in record.args)
    try:
        record.msg, record.args = _lines(record.getMessage()), ()
    except (TypeError, ValueError, KeyError):
        # A call with other arguments than its format has; the handler reports it, and does not raise.
        return True
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    record.exc_text = record.exc_text and _lines(record.exc_text)
    return True


def _lines(text: str) -> str:
    return "\n".join(map(shown, text.split("\n")))


def _set_up(logger: logging.Logger, **others: Any) -> None:
    for handler in logger.handlers:
        if is_logged_as_json(current_app):
            handler.setFormatter(JsonLines())
        else:
            handler.addFilter(escaped)


# Celery imports this module in the worker and in each of its children, before they set up their logs.
for signal in (after_setup_logger, after_setup_task_logger):
    signal.connect(_set_up)
