"""What the cards of the shipped models say."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fer_model.networks.manifest import SHIPPED


def limits_of(models: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The limits of the shipped ones among `models`, by name. Each has its name at `model`, and its `sha256`."""
    cards = {card.stem: card.read_text(encoding="utf-8") for card in SHIPPED.glob("*.md")}
    found = {}
    for model in models:
        # A model from elsewhere may have the same name, or one that no file could have.
        text = cards.get(model["model"], "")
        if model["sha256"] in text and (limits := re.search(r"\*\*Limits\.\*\* (.+?)(?:\n\n|\Z)", text, re.DOTALL)):
            found[model["model"]] = limits[1].replace("\n", " ").replace("`", "")
    return found
