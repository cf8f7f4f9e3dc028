"""Batches that fit into a GPU's memory."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def halving(work: Callable[[Any], Result]) -> Callable[[Any], list[Result]]:
    """The same work in parts. The part size is halved whenever the GPU runs out of memory, and stays reduced.

    Takes anything that can be sliced, and gives the result of each part.

    Raises:
        torch.OutOfMemoryError: a single item does not fit.
    """
    most: int | None = None

    def in_parts(items: Sequence[Any]) -> list[Result]:
        import torch

        nonlocal most
        results: list[Result] = []
        start = 0
        while start < len(items):
            part = items[start : start + (most or len(items))]
            try:
                results.append(work(part))
                start += len(part)
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
                most = len(part) // 2
                logger.warning("the GPU's memory has no room for %s at once; going on with %s", len(part), most)
                torch.cuda.empty_cache()
        return results

    return in_parts
