"""What a deletion has left behind."""

from typing import TYPE_CHECKING

from cli.views.lines import say

if TYPE_CHECKING:
    from workers.retention import Deletion


def print_what_is_left(deletion: "Deletion") -> None:
    """On stderr: crops on other machines, and a database file that is not compacted yet."""
    for each in deletion.removed:
        if each.crops_left:
            where = f"{each.crops_left} are not on this machine, may not be deleted, or lie outside FER_CROPS_ROOTS"
            say(f"Note: the pictures of faces in {where}; delete them yourself.", err=True)
    if not deletion.compacted:
        say(
            "Note: what was deleted may stay readable in the database's file until the next deletion: another job is "
            "not finished, another program uses the file, or its disk has no room to rewrite it.",
            err=True,
        )
