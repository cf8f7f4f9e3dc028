"""The weights in the repository and what is said of them."""

import re

import pytest
from safetensors import safe_open

from fer_model.manifest import SHIPPED, WeightsFile, read_models

FILES = read_models().files
HEADINGS = ("Data", "Start", "Command", "Seed", "Metrics", "sha256", "Licence", "Limits")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_file_is_the_promised_one_small_and_in_half_precision(file: WeightsFile) -> None:
    file.verify()
    assert file.path.stat().st_size < 10_000_000
    with safe_open(file.path, "np") as tensors:
        types = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    assert types <= {"F16", "I64"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_file_has_a_card_that_says_everything(file: WeightsFile) -> None:
    card = file.path.with_suffix(".md").read_text()
    assert file.sha256 in card
    for heading in HEADINGS:
        assert re.search(rf"^\*\*{heading}\.\*\*", card, re.MULTILINE), heading


def test_nothing_lies_beside_them_that_nobody_needs() -> None:
    expected = {"manifest.json"} | {file.path.name for file in FILES} | {f"{file.path.stem}.md" for file in FILES}
    assert {path.name for path in SHIPPED.iterdir()} == expected
