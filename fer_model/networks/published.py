"""The registry of third-party weights for `models pull`: addresses, digests and how they are used."""

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["classifier", "detector"]

REPOSITORY = "nmhaaa3218/CV-Facial-Expression/30e6306982f2c9e83fac95c815e6eb45be7d938c"
"""Owner, name and commit, as addresses of raw files on GitHub have them."""

NO_LICENCE = "none stated by its authors"


@dataclass(frozen=True, slots=True)
class Remote:
    """One file: its address below the registry's base (or a whole URL) and its digest, as `digests.matches` takes it.

    `mean` and `std` normalised a classifier's pixels, scaled to 0..1, in training; its classes are in the order of
    `EMOTIONS`. `facts` are kept with the model.
    """

    name: str
    kind: Kind
    address: str
    digest: str | None
    mean: float | None = None
    std: float | None = None
    recipe: str | None = None
    licence: str | None = NO_LICENCE
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one name pulls: a detector, or classifiers with their shares, which sum to 1."""

    name: str
    files: tuple[Remote, ...]
    shares: tuple[float, ...] = ()


REGISTRY = {
    entry.name: entry
    for entry in (
        Entry(
            "yolov12n-face",
            (
                Remote(
                    "yolov12n-face",
                    "detector",
                    f"{REPOSITORY}/yolov12n-face.pt",
                    "git:10b04117a1da7b5afee81275f78a1d2b6a9ae09b",
                ),
            ),
        ),
        Entry(
            "original",
            (
                Remote(
                    "original-crp",
                    "classifier",
                    f"{REPOSITORY}/model_efficientnetb0_v2_tuned_2.pth",
                    "git:f013030ce0fbe5d070a8ea5857e8e589c8b35749",
                    mean=0.5,
                    std=0.5,
                    recipe="crp",
                    facts={"published": "66.66 % on PrivateTest"},
                ),
                Remote(
                    "original-mixup-cutmix",
                    "classifier",
                    f"{REPOSITORY}/model_efficientnetb0_v5_tuned.pth",
                    "git:e6efa71b693197baf170e2fcaf1548ff536877ca",
                    mean=0.5,
                    std=0.5,
                    recipe="mixup_cutmix",
                    facts={"published": "64.69 % on PrivateTest; the two together 68.74 %"},
                ),
            ),
            shares=(0.45, 0.55),
        ),
    )
}
