"""Which packets of a sampled video are decoded: those from a keyframe up to the last wanted picture before the next."""

from __future__ import annotations  # PyAV's Packet is generic for type checkers only

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from av.packet import Packet

from fer_model.sources.container import is_shown

MOST_BYTES = 64 * 2**20
"""The most that is held back because no wanted picture has needed it yet; beyond, it is decoded."""


class Step(NamedTuple):
    """A packet to decode, or None for the end.

    `due` is the timestamp of its picture, None if that is not shown. With `jumps`, packets before it were left out, and
    the decoder must be emptied.
    """

    packet: Packet[Any] | None
    due: int | None
    is_wanted: bool
    jumps: bool = False


def needed(
    packets: Iterable[Packet[Any]], is_wanted: Callable[[int], bool], may_jump: Callable[[int | None], bool]
) -> Iterator[Step]:
    """The packets, in the order of decoding, without those that no wanted picture needs, and the end.

    `is_wanted` is called with the timestamp of each picture that is shown, `may_jump` with that of a
    keyframe, and with None for the end.

    No picture after a keyframe is predicted from one before it, except its leading pictures: those of an open group
    that are decoded after it and shown before it. They come before any picture that is shown after it (H.265, 7.4.2.2).
    If one of them is wanted, nothing before the keyframe is left out.
    """
    behind: list[Step] = []  # what no wanted picture has needed yet
    opening: list[Step] = []  # the keyframe after these, with its leading pictures
    size = 0
    for packet in packets:
        due = packet.pts if is_shown(packet) else None
        step = Step(packet, due, due is not None and is_wanted(due))
        if opening and not _leads(step, opening[0]):
            behind, opening = _continued(behind, opening), []
            size = 0 if behind[0].jumps else size
            if _is_needed(behind):
                yield from behind
                behind, size = [], 0
        size += packet.size
        if opening or (behind and packet.is_keyframe and due is not None and may_jump(due)):
            opening.append(step)
            continue
        behind.append(step)
        if step.is_wanted or size > MOST_BYTES:
            yield from behind
            behind, size = [], 0
    behind = _continued(behind, opening) if opening else behind
    if _is_needed(behind) or not may_jump(None):
        yield from behind
        behind = []
    yield Step(None, None, False, jumps=bool(behind))


def _leads(step: Step, keyframe: Step) -> bool:
    return step.due is not None and keyframe.due is not None and step.due < keyframe.due


def _continued(behind: list[Step], opening: list[Step]) -> list[Step]:
    """What is to be decoded, if anything is, once all leading pictures of a keyframe are known."""
    keyframe, *leading = opening
    if _is_needed(leading):
        return behind + opening
    return [keyframe._replace(jumps=True), *leading]


def _is_needed(steps: list[Step]) -> bool:
    return any(step.is_wanted for step in steps)
