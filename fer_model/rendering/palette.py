"""The colours of the seven emotions: for annotated pictures, the terminal, the report and the page."""

COLOURS = {
    "angry": (213, 94, 0),
    "disgust": (0, 158, 115),
    "fear": (204, 121, 167),
    "happy": (240, 228, 66),
    "sad": (0, 114, 178),
    "surprise": (230, 159, 0),
    "neutral": (185, 185, 185),
}
"""RGB, 0..255: the palette of Okabe and Ito (2008), which colour-blind people can tell apart, and a light grey that
differs from pink for them too (a middle grey does not). Dark text is readable on each, white text on `sad` too."""


def hex_colour(emotion: str) -> str:
    """An emotion's colour as `#rrggbb`. Raises `KeyError` for another name."""
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[emotion])
