"""What a deletion has left behind."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.retention import Deletion


def print_what_is_left(deletion: "Deletion") -> None:
    """On stderr: crops on other machines, and a database file that is not compacted yet."""
    for each in deletion.removed:
        if each.crops_left:
            where = f"{each.crops_left} are not on this machine"
            print(f"Note: the pictures of faces in {where}; delete them there.", file=sys.stderr)
    if not deletion.compacted:
        print("Note: another job is not finished, so the file keeps its size until the next deletion.", file=sys.stderr)
