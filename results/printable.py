"""Text that strangers wrote, such as names of files and jobs, as one line that can be shown anywhere."""

import unicodedata


def shown(text: str) -> str:
    r"""The text in one line; what a terminal would obey or hide is escaped as in Python's `repr`: `\x1b`, `\u202e`.

    That is every character that Unicode counts as not printable, but for spaces of other widths: control characters,
    line breaks, direction overrides, zero-width characters, lone surrogates (bytes of a name that are not UTF-8).
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()
