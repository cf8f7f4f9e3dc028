"""Reads the JavaScript and CSS of an element."""

from pathlib import Path


def source(element: str, suffix: str) -> str:
    """The text of an element's file: `web/elements/ELEMENT/ELEMENT.SUFFIX`."""
    return (Path(__file__).parent / element / f"{element}.{suffix}").read_text(encoding="utf-8")
