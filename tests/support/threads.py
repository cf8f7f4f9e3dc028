"""A process that cannot start threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_thread_to_spare() -> Iterator[None]:
    """No thread starts inside: its stack would need more memory than can be addressed."""
    before = threading.stack_size(2**46)
    try:
        yield
    finally:
        threading.stack_size(before)
