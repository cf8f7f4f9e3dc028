"""How a classifier is trained, as data. The names are those of the ablation."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done to a batch of training faces before the network sees it.

    `padding` is how far, in pixels, a crop may shift each way; `rotation` in degrees each way;
    `jitter` is the relative spread of brightness and contrast; `cutout` the side in pixels of
    an erased square; `mix` the share of batches mixed by MixUp (Zhang et al., 2018) or CutMix
    (Yun et al., 2019), one or the other by a coin.
    """

    name: str
    flip: bool = False
    padding: int = 0
    rotation: float = 0.0
    jitter: float = 0.0
    cutout: int = 0
    mix: float = 0.0


_CRP = {"flip": True, "padding": 4, "rotation": 10.0}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("baseline"),
        Recipe("crp", **_CRP),  # type: ignore[arg-type]
        Recipe("crp_jitter", **_CRP, jitter=0.2),  # type: ignore[arg-type]
        Recipe("crp_cutout", **_CRP, cutout=12),  # type: ignore[arg-type]
        Recipe("mixup_cutmix", **_CRP, mix=0.5),  # type: ignore[arg-type]
    )
}
