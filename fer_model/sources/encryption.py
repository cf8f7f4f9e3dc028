"""Signs of encryption in the beginning of a file, where FFmpeg reports none and would give noise."""

from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

SYNC, PACKET, TIMED_PACKET = 0x47, 188, 192
"""Of transport streams (ISO/IEC 13818-1, 2.4.3); those of cameras have four bytes before each packet."""

PACK = b"\0\0\1\xba"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_ENCRYPTION = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
)
"""Identifiers of ASF's two objects for encryption, as they stand in its header."""

SAMPLE_AES = (0xDB, 0xCF, 0xC1, 0xC2)
"""Types of streams in a program's table (Apple, MPEG-2 Stream Encryption Format for HTTP Live Streaming)."""

_PMT = 2
_HEAD, _LONGER = 16, 1 << 18


def beginning(file: BufferedReader) -> bytes:
    """The first bytes of a file, as many as are needed to look for signs; it is at its beginning again then."""
    file.seek(0)
    head = file.read(_HEAD)
    if SYNC in (head[:1] + head[4:5]) or head.startswith((PACK, ASF)):
        head += file.read(_LONGER)
    file.seek(0)
    return head


def is_encrypted(head: bytes) -> bool:
    """Whether a file declares encryption, or most of its packets of video and sound are scrambled."""
    if head.startswith(ASF):
        return any(mark in head for mark in ASF_ENCRYPTION)
    scrambled = [bool(pes[6] & 0x30) for pes in _streams(head) if len(pes) > 6 and pes[6] >> 6 == 2]
    declared = any(packet.begins and _sample_aes(packet.contents) for packet in _packets(head))
    return declared or 2 * sum(scrambled) > len(scrambled)


def is_scrambled(head: bytes) -> bool:
    """Whether a quarter of a transport stream's packets are scrambled: FFmpeg passes these over without a word."""
    flags = [packet.is_scrambled for packet in _packets(head)]
    return 4 * sum(flags) > len(flags)


class _Packet(NamedTuple):
    """A packet of a transport stream; with `begins` a table or the packet of a stream begins in it."""

    is_scrambled: bool
    begins: bool
    contents: bytes


def _packets(head: bytes) -> Iterator[_Packet]:
    """The packets of a transport stream."""
    size, first = (PACKET, 0) if head[:1] == bytes([SYNC]) else (TIMED_PACKET, 4)
    for start in range(first, len(head) - PACKET + 1, size):
        if head[start] != SYNC:
            return
        body = start + 4 + (1 + head[start + 4] if head[start + 3] & 0x20 else 0)
        yield _Packet(bool(head[start + 3] & 0xC0), bool(head[start + 1] & 0x40), head[body : start + PACKET])


def _streams(head: bytes) -> Iterator[bytes]:
    """What begins with the header of a packet of video or sound, in transport and in program streams."""
    if head.startswith(PACK):
        pieces = head.split(b"\0\0\1")
        yield from (b"\0\0\1" + piece[:8] for piece in pieces if piece[:1] and 0xC0 <= piece[0] <= 0xEF)
        return
    for _, begins, payload in _packets(head):
        # Within a picture these bytes may be anything.
        if begins and payload.startswith(b"\0\0\1") and len(payload) > 3 and 0xBD <= payload[3] <= 0xEF:
            yield payload


def _sample_aes(payload: bytes) -> bool:
    """Whether this is a program's table that names an encrypted stream."""
    at = 1 + payload[0] if payload else 0
    if payload[at : at + 1] != bytes([_PMT]) or len(payload) < at + 12:
        return False
    end = at + 3 + (int.from_bytes(payload[at + 1 : at + 3], "big") & 0xFFF) - 4
    at += 12 + (int.from_bytes(payload[at + 10 : at + 12], "big") & 0xFFF)
    while at + 5 <= min(end, len(payload)):
        if payload[at] in SAMPLE_AES:
            return True
        at += 5 + (int.from_bytes(payload[at + 3 : at + 5], "big") & 0xFFF)
    return False
