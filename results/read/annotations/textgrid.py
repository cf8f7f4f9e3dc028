"""Praat's TextGrid in its long text form (https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html)."""

from collections.abc import Iterable, Iterator

from results.printable import shown
from results.read.annotations.tiers import Annotated, Mark, layers

Entry = tuple[int, int, str]


def textgrid(video: Annotated) -> str:
    """An interval tier for each track and for marked intervals, which cover the whole video, and a tier of moments.

    An interval without a label is one in which the track was not seen. Praat needs one tier at least: a video without
    faces has an empty one.
    """
    tiers = [_interval_tier(name, entries, video.length_ms) for name, entries in _interval_tiers(video)]
    if moments := [mark for mark in video.marks if mark.until_ms is None]:
        tiers.append(_point_tier(moments, video.length_ms))
    tiers = tiers or [_interval_tier("no face", [], video.length_ms)]
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *_limits(video.length_ms)]
    lines = [*head, "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, tier in enumerate(tiers, 1):
        lines += [f"    item [{number}]:", *(f"        {line}" for line in tier)]
    return "\n".join(lines) + "\n"


def _interval_tiers(video: Annotated) -> Iterator[tuple[str, list[Entry]]]:
    for track, spans in video.tracks.items():
        yield f"track {track}", [(span.start_ms, span.end_ms, span.emotion) for span in spans]
    for number, layer in enumerate(layers(video.marks), 1):
        entries = [(mark.time_ms, mark.until_ms or mark.time_ms, mark.text) for mark in layer]
        yield "intervals" if number == 1 else f"intervals {number}", entries


def _interval_tier(name: str, entries: list[Entry], length_ms: int) -> list[str]:
    covering = list(_covering(entries, length_ms))
    lines = ['class = "IntervalTier"', f'name = "{name}"', *_limits(length_ms), f"intervals: size = {len(covering)}"]
    for number, (start_ms, end_ms, label) in enumerate(covering, 1):
        limits = (f"xmin = {_seconds(start_ms)}", f"xmax = {_seconds(end_ms)}", f"text = {_quoted(label)}")
        lines += [f"intervals [{number}]:", *(f"    {line}" for line in limits)]
    return lines


def _covering(entries: Iterable[Entry], length_ms: int) -> Iterator[Entry]:
    """The entries, and entries without a label between them."""
    since = 0
    for start_ms, end_ms, label in entries:
        if start_ms > since:
            yield since, start_ms, ""
        yield start_ms, end_ms, label
        since = end_ms
    if since < length_ms:
        yield since, length_ms, ""


def _point_tier(moments: Iterable[Mark], length_ms: int) -> list[str]:
    # Praat allows one point at a time.
    at: dict[int, str] = {}
    for mark in sorted(moments, key=lambda mark: mark.time_ms):
        at[mark.time_ms] = "; ".join(filter(None, (at.get(mark.time_ms), mark.text)))
    lines = ['class = "TextTier"', 'name = "markers"', *_limits(length_ms), f"points: size = {len(at)}"]
    for number, (time_ms, text) in enumerate(at.items(), 1):
        lines += [f"points [{number}]:", f"    number = {_seconds(time_ms)}", f"    mark = {_quoted(text)}"]
    return lines


def _limits(length_ms: int) -> tuple[str, str]:
    return "xmin = 0", f"xmax = {_seconds(length_ms)}"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.3f}"


def _quoted(text: str) -> str:
    return '"' + shown(text).replace('"', '""') + '"'
