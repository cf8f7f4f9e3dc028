from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fer_model.training.augment import augment, cutout, jitter, move
from fer_model.training.recipes import RECIPES, Recipe
from tests.clips import noise_picture

LABELS = torch.arange(32) % 7


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    grey = np.stack([noise_picture(48, 48, seed)[..., 0] for seed in range(32)])
    return torch.from_numpy(grey)[:, None].float()


def test_the_recipes_are_those_of_the_ablation() -> None:
    assert list(RECIPES) == ["baseline", "crp", "crp_jitter", "crp_cutout", "mixup_cutmix"]
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    assert RECIPES["baseline"] == Recipe("baseline")
    assert RECIPES["crp"] == Recipe("crp", flip=True, padding=4, rotation=10)
    for name in ("crp_jitter", "crp_cutout", "mixup_cutmix"):
        assert replace(RECIPES[name], name="crp", jitter=0, cutout=0, mix=0) == RECIPES["crp"]
        assert RECIPES[name] != replace(RECIPES["crp"], name=name), "each adds something"


@pytest.mark.parametrize("name", RECIPES)
def test_a_batch_keeps_its_form(images: Tensor, name: str) -> None:
    for _ in range(5):
        changed, targets = augment(images, LABELS, RECIPES[name])
        assert changed.shape == images.shape
        assert torch.isfinite(changed).all()
        assert changed.min() >= 0
        assert changed.max() <= 255.001
        assert targets.shape == (32, 7)
        torch.testing.assert_close(targets.sum(1), torch.ones(32))


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_seed_gives_the_same_batch_and_another_one_another(images: Tensor, name: str) -> None:
    batches = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        batches.append(augment(images, LABELS, RECIPES[name])[0])
    assert torch.equal(batches[0], batches[1])
    assert torch.equal(batches[0], batches[2]) == (name == "baseline")


def test_the_baseline_changes_nothing(images: Tensor) -> None:
    changed, targets = augment(images, LABELS, RECIPES["baseline"])
    assert torch.equal(changed, images)
    assert torch.equal(targets.argmax(1), LABELS)


def test_the_input_stays_as_it_is(images: Tensor) -> None:
    before = images.clone()
    for recipe in RECIPES.values():
        augment(images, LABELS, recipe)
    assert torch.equal(images, before)


def test_flip_mirrors_about_half_of_the_pictures(images: Tensor) -> None:
    changed = move(images, Recipe("flip", flip=True))
    same = (changed - images).abs().amax((1, 2, 3)) < 0.01
    mirrored = (changed - images.flip(3)).abs().amax((1, 2, 3)) < 0.01
    assert (same ^ mirrored).all()
    assert 6 <= mirrored.sum() <= 26


def test_a_shift_moves_by_whole_pixels_up_to_the_padding_and_fills_with_black(images: Tensor) -> None:
    images += 1  # so that black is only what came in
    shifts = set()
    for _ in range(8):
        for before, after in zip(images[:, 0], move(images, Recipe("shift", padding=4))[:, 0], strict=True):
            padded = torch.nn.functional.pad(before, (4, 4, 4, 4))
            fits = [
                (dx, dy)
                for dx in range(9)
                for dy in range(9)
                if (padded[dy : dy + 48, dx : dx + 48] - after).abs().max() < 0.05
            ]
            assert len(fits) == 1, "a crop of the padded picture"
            shifts.update(fits)
    assert {dx for dx, _ in shifts} == set(range(9))
    assert {dy for _, dy in shifts} == set(range(9))


def test_rotation_turns_about_the_middle_by_at_most_its_angle() -> None:
    picture = torch.zeros(200, 1, 48, 48)
    picture[:, :, 22:26, 40:44] = 255  # right of the middle
    turned = move(picture, Recipe("turn", rotation=10))[:, 0]
    places = torch.arange(48) - 23.5
    weight = turned.sum((1, 2))
    x, y = (turned.sum(1) @ places) / weight, (turned.sum(2) @ places) / weight
    angles = torch.rad2deg(torch.atan2(y, x))
    assert angles.abs().max() <= 10.1
    assert angles.max() > 8
    assert angles.min() < -8
    torch.testing.assert_close(torch.hypot(x, y), torch.full_like(x, 18.0), atol=0.3, rtol=0)


def test_jitter_scales_brightness_and_contrast_within_its_spread() -> None:
    flat = torch.full((500, 1, 4, 4), 100.0)
    means = jitter(flat, 0.2).mean((1, 2, 3))
    assert 80 <= means.min() < 84
    assert 116 < means.max() <= 120
    halves = flat.clone()
    halves[..., 2:] = 120  # contrast 20, mean 110
    spread = jitter(halves, 0.2)
    contrast = (spread[:, 0, 0, 3] - spread[:, 0, 0, 0]) / spread.mean((1, 2, 3)) * 110 / 20
    assert 0.8 - 1e-4 <= contrast.min() < 0.84
    assert 1.16 < contrast.max() <= 1.2 + 1e-4


def test_cutout_blackens_one_square(images: Tensor) -> None:
    images += 1
    holes = (cutout(images, 12) == 0)[:, 0]
    for hole in holes:
        rows, columns = hole.any(1).nonzero()[:, 0], hole.any(0).nonzero()[:, 0]
        height, width = (int(line.max() - line.min()) + 1 for line in (rows, columns))
        assert hole.sum() == height * width, "one rectangle without gaps"
        assert 6 <= height <= 12
        assert 6 <= width <= 12
    assert holes.flatten(1).sum(1).max() >= 11 * 11
    assert len({tuple(hole.nonzero()[0].tolist()) for hole in holes}) > 20, "somewhere else in each picture"


def test_mixing_mixes_labels_as_it_mixes_pictures(images: Tensor) -> None:
    recipe = Recipe("mix", mix=1.0)
    kinds = set()
    for _ in range(20):
        white = (LABELS == 0).float().view(-1, 1, 1, 1).expand_as(images) * 255
        mixed, targets = augment(white, LABELS, recipe)
        torch.testing.assert_close(mixed.mean((1, 2, 3)) / 255, targets[:, 0], atol=1e-3, rtol=0)
        kinds.add(bool(((mixed > 1) & (mixed < 254)).any()))
    assert kinds == {True, False}, "both kinds are drawn: blended ones and patched ones"


def test_mix_is_the_share_of_mixed_batches(images: Tensor) -> None:
    mixed = [bool((augment(images, LABELS, Recipe("mix", mix=0.5))[1].amax(1) < 1).any()) for _ in range(100)]
    assert 30 <= sum(mixed) <= 70
