"""ELAN's annotation format, EAF 3.0 (https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf)."""

import mimetypes
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import quote
from xml.etree import ElementTree as ET

from results.printable import shown
from results.read.annotations.tiers import Annotated, Mark, layers

SCHEMA = {
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
}
KINDS = ("emotion", "marker")
"""The types of tiers."""

MOMENT_MS = 40
"""The length that a marked moment gets, as ELAN knows intervals only: one frame at 25 frames a second."""

Entry = tuple[int, int, str]


def eaf(video: Annotated, written: datetime | None = None) -> bytes:
    """The document: one tier for each track, whose values are its dominant emotions, and tiers for markers."""
    moment = (written or datetime.now(UTC)).isoformat(timespec="seconds")
    root = ET.Element("ANNOTATION_DOCUMENT", SCHEMA, AUTHOR="fer-batch", DATE=moment, FORMAT="3.0", VERSION="3.0")
    _add_header(root, video.uri)
    tiers = list(_tiers(video))
    slots = _add_slots(root, tiers)
    _add_tiers(root, tiers, slots)
    for kind in KINDS:
        values = {"LINGUISTIC_TYPE_ID": kind, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
        ET.SubElement(root, "LINGUISTIC_TYPE", values)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="UTF-8", xml_declaration=True))


def _tiers(video: Annotated) -> Iterator[tuple[str, str, list[Entry]]]:
    """Kind, name and entries of each tier."""
    for track, spans in video.tracks.items():
        yield "emotion", f"track {track}", [(span.start_ms, span.end_ms, span.emotion) for span in spans]
    marks = (mark._replace(until_ms=mark.until_ms or mark.time_ms + MOMENT_MS) for mark in video.marks)
    for number, layer in enumerate(layers(marks), 1):
        yield "marker", "markers" if number == 1 else f"markers {number}", [_entry(mark) for mark in layer]


def _entry(mark: Mark) -> Entry:
    return mark.time_ms, mark.until_ms or mark.time_ms, shown(mark.text)


def _add_header(root: ET.Element, uri: str) -> None:
    header = ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    name = PurePosixPath(uri).name
    kind = mimetypes.guess_type(name)[0] or "video/mp4"
    local = f"file://{quote(uri)}" if uri.startswith("/") else quote(uri, safe=":/?=&%")
    values = {"MEDIA_URL": local, "RELATIVE_MEDIA_URL": f"./{quote(name)}", "MIME_TYPE": kind}
    ET.SubElement(header, "MEDIA_DESCRIPTOR", values)


def _add_slots(root: ET.Element, tiers: list[tuple[str, str, list[Entry]]]) -> dict[int, str]:
    """The moments that entries share, by time; the id of each."""
    times = sorted({time for _, _, entries in tiers for entry in entries for time in entry[:2]})
    slots = {time: f"ts{number}" for number, time in enumerate(times, 1)}
    order = ET.SubElement(root, "TIME_ORDER")
    for time, slot in slots.items():
        ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(time))
    return slots


def _add_tiers(root: ET.Element, tiers: list[tuple[str, str, list[Entry]]], slots: dict[int, str]) -> None:
    number = 0
    for kind, name, entries in tiers:
        tier = ET.SubElement(root, "TIER", LINGUISTIC_TYPE_REF=kind, TIER_ID=name)
        for start_ms, end_ms, value in entries:
            number += 1
            places = {"TIME_SLOT_REF1": slots[start_ms], "TIME_SLOT_REF2": slots[end_ms]}
            holder = ET.SubElement(tier, "ANNOTATION")
            entry = ET.SubElement(holder, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}", **places})
            ET.SubElement(entry, "ANNOTATION_VALUE").text = value
