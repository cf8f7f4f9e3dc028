"""What went wrong, in words for the reader of a row's `error`."""

from fer_model.errors import FerModelError

TOO_LONG = "took longer than a worker may spend on one piece; use shorter ones (--shard-seconds)"


def reason_of(error: BaseException) -> str:
    """One sentence about an error, without its traceback."""
    if isinstance(error, FerModelError):
        return str(error)
    # By its name: it comes from billiard, which is Celery's.
    if type(error).__name__ == "SoftTimeLimitExceeded":
        return TOO_LONG
    if isinstance(error, MemoryError):
        return "there was not enough memory"
    return f"{type(error).__name__}: {error}"
