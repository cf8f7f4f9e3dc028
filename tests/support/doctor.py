"""What a check of `doctor` reports."""

from collections.abc import Callable
from typing import Any

import pytest

from workers.diagnosis.trouble import Trouble


def trouble(look: Callable[..., str], *given: Any) -> Trouble:
    """The failure of a check."""
    with pytest.raises(Trouble) as raised:
        look(*given)
    return raised.value
