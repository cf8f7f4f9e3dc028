"""Whether every frame that is written is known to show no face that was not looked for."""

from collections.abc import Callable
from dataclasses import dataclass

from fer_model.errors import UnreadableMediaError

NOT_ALL = "not all of it has been looked at, so a face could stay visible; it is left out"


@dataclass
class Coverage:
    """The frames of a medium that were looked at, as (index, time in ms), against those that are written.

    `keeps` is the sampling that chose them: a frame that it does not keep lies between two that it keeps.
    """

    uri: str
    known: list[tuple[int, int]]
    keeps: Callable[[int, int], bool]
    count: int = 0

    def check(self, place: int, time_ms: int) -> None:
        """Raises `UnreadableMediaError` for a frame that should have been looked at and was not."""
        if self.keeps(place, time_ms):
            if self.count == len(self.known) or self.known[self.count] != (place, time_ms):
                raise UnreadableMediaError(f"{self.uri}: {NOT_ALL}")
            self.count += 1

    def check_end(self) -> None:
        """Raises `UnreadableMediaError` unless as many were written as were looked at."""
        if self.count != len(self.known) or not self.count:
            raise UnreadableMediaError(f"{self.uri}: {NOT_ALL}")
