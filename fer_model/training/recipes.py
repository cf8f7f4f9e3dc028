"""Training recipes of the classifier, as data. The first five names are those of the published ablation."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Recipe:
    """Augmentation, label processing and optimisation of a training run.

    Geometry: `padding` is how far, in pixels, a crop may shift each way; `rotation` in degrees
    each way; `scale` the relative spread of size; `edge` the padding, `zeros` or `border` (the
    repeated edge, as inference crops). `side` is the side in pixels to which the network
    enlarges faces; more than 48 makes a teacher, which is too slow to ship.

    Light and quality: `jitter` is the relative spread of brightness and contrast; `light` the
    strength, 0..1, of a shadow across the face and of a gamma curve; `blur` the share of
    pictures of a batch shrunk and enlarged again; `noise` the largest standard deviation of
    sensor noise, in grey levels.

    Occlusion: `cutout` is the side in pixels of an erased square, `cutout_share` the share of
    pictures that get one. `mix` is the share of batches mixed by MixUp (Zhang et al., 2018) or
    CutMix (Yun et al., 2019), with equal chances, with Beta(`mix_alpha`, `mix_alpha`).

    Labels: `smoothing` is label smoothing; `votes` the weight, 0..1, of the FER+ votes against the
    label, where there are votes; `taught` the weight, 0..1, of the teachers' probabilities
    against both, where there are teachers (distillation, Hinton et al., 2015).

    Optimisation: `ema` is the decay per step of the averaged weights that are kept (0: the
    weights themselves); `warmup` the share of the steps in which OneCycle's rate rises.
    """

    name: str
    flip: bool = False
    padding: int = 0
    rotation: float = 0.0
    scale: float = 0.0
    edge: str = "zeros"
    side: int = 48
    jitter: float = 0.0
    light: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    cutout: int = 0
    cutout_share: float = 1.0
    mix: float = 0.0
    mix_alpha: float = 1.0
    smoothing: float = 0.1
    votes: float = 0.0
    taught: float = 0.5
    ema: float = 0.0
    warmup: float = 0.3


_CRP = Recipe("crp", flip=True, padding=4, rotation=10.0)
_BEST = Recipe(
    "best",
    flip=True, padding=5, rotation=12.0, scale=0.15, edge="border",
    jitter=0.2, light=0.3, blur=0.1, noise=4.0, cutout=16, cutout_share=0.3,
    smoothing=0.05, votes=0.35, ema=0.998, warmup=0.15,
)  # fmt: skip

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("baseline"),
        _CRP,
        replace(_CRP, name="crp_jitter", jitter=0.2),
        replace(_CRP, name="crp_cutout", cutout=12),
        replace(_CRP, name="mixup_cutmix", mix=0.5),
        _BEST,
        # The second member of the ensemble: differs on purpose, so that its errors differ from the first's.
        replace(_BEST, name="best_mixed", cutout=0, mix=0.5, mix_alpha=0.8, smoothing=0.0),
        replace(_BEST, name="teacher", side=96),
    )
}
ABLATION = ("baseline", "crp", "crp_jitter", "crp_cutout", "mixup_cutmix")
