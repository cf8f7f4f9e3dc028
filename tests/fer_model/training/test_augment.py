import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fer_model.training.augment import LEAST_SIDE, augment, blur, cutout, jitter, move, noise, relight
from fer_model.training.recipes import ABLATION, RECIPES, Recipe
from tests.support.clips import noise_picture

LABELS = torch.arange(32) % 7
TARGETS = functional.one_hot(LABELS, 7) * 0.9 + 0.1 / 7


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    grey = np.stack([noise_picture(48, 48, seed)[..., 0] for seed in range(32)])
    return torch.from_numpy(grey)[:, None].float()


def test_the_first_recipes_are_those_of_the_ablation() -> None:
    assert ABLATION == ("baseline", "crp", "crp_jitter", "crp_cutout", "mixup_cutmix") == tuple(RECIPES)[:5]
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    assert RECIPES["baseline"] == Recipe("baseline")
    assert RECIPES["crp"] == Recipe("crp", flip=True, padding=4, rotation=10)
    for name in ("crp_jitter", "crp_cutout", "mixup_cutmix"):
        assert replace(RECIPES[name], name="crp", jitter=0, cutout=0, mix=0) == RECIPES["crp"]
        assert RECIPES[name] != replace(RECIPES["crp"], name=name), "each adds something"


@pytest.mark.parametrize("name", RECIPES)
def test_a_batch_keeps_its_form(images: Tensor, name: str) -> None:
    images[0], images[1] = 0, 255
    for _ in range(5):
        changed, targets = augment(images, TARGETS, RECIPES[name])
        assert changed.shape == images.shape
        assert torch.isfinite(changed).all()
        assert changed.min() >= 0
        assert changed.max() <= 255.001
        assert targets.shape == (32, 7)
        assert targets.min() >= 0
        torch.testing.assert_close(targets.sum(1), torch.ones(32))


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_seed_gives_the_same_batch_and_another_one_another(images: Tensor, name: str) -> None:
    batches = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        batches.append(augment(images, TARGETS, RECIPES[name])[0])
    assert torch.equal(batches[0], batches[1])
    assert torch.equal(batches[0], batches[2]) == (name == "baseline")


@pytest.mark.parametrize("name", RECIPES)
def test_a_restored_generator_repeats_a_batch(images: Tensor, name: str) -> None:
    augment(images, TARGETS, RECIPES[name])
    state = torch.get_rng_state()
    first = augment(images, TARGETS, RECIPES[name])
    augment(images, TARGETS, RECIPES[name])
    torch.set_rng_state(state)
    second = augment(images, TARGETS, RECIPES[name])
    assert all(torch.equal(*both) for both in zip(first, second, strict=True))


def test_the_baseline_changes_nothing(images: Tensor) -> None:
    changed, targets = augment(images, TARGETS, RECIPES["baseline"])
    assert torch.equal(changed, images)
    assert torch.equal(targets, TARGETS)


def test_the_input_stays_as_it_is(images: Tensor) -> None:
    before, targets = images.clone(), TARGETS.clone()
    for recipe in RECIPES.values():
        augment(images, targets, recipe)
    assert torch.equal(images, before)
    assert torch.equal(targets, TARGETS)


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
            padded = functional.pad(before, (4, 4, 4, 4))
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


def test_size_changes_about_the_middle_by_at_most_its_spread() -> None:
    picture = torch.zeros(300, 1, 48, 48)
    picture[:, :, 16:32, 16:32] = 1
    sized = move(picture, Recipe("size", scale=0.15))[:, 0]
    side = sized.sum((1, 2)).sqrt() / 16
    assert 1 / 1.15 - 0.01 < side.min() < 0.89
    assert 1.15 < side.max() < 1 / 0.85 + 0.01
    torch.testing.assert_close(sized, sized.flip(1, 2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("edge", ["zeros", "border"])
def test_what_comes_in_from_beyond_is_black_or_the_edge_repeated(edge: str) -> None:
    recipe = Recipe("edge", padding=5, rotation=12, scale=0.15, edge=edge)
    moved = move(torch.full((50, 1, 48, 48), 200.0), recipe)
    assert moved.max() <= 200.001
    assert (moved.min() > 199.99) == (edge == "border")
    assert edge == "border" or (moved == 0).any()


def test_light_from_one_side_darkens_the_other() -> None:
    """White shows the shadow alone: its gamma curve ends in white."""
    white = torch.full((400, 1, 48, 48), 255.0)
    lit = relight(white, 0.3)[:, 0]
    darkest = lit.amin((1, 2)) / 255
    assert 1 - 0.3 * math.sqrt(2) - 1e-5 <= darkest.min() < 0.65
    assert darkest.max() > 0.97, "as little as nothing, too"
    assert torch.allclose(lit.amax((1, 2)), torch.tensor(255.0))
    corners = torch.stack((lit[:, 0, 0], lit[:, 0, -1], lit[:, -1, 0], lit[:, -1, -1]), 1).argmin(1)
    assert torch.bincount(corners, minlength=4).min() > 50, "from all sides"
    # Along each row the light only rises, or only falls.
    steps = lit.diff(dim=2)
    assert ((steps >= 0).all((1, 2)) | (steps <= 0).all((1, 2))).all()


def test_light_bends_grey_by_a_gamma_curve() -> None:
    """In the middle there is no shadow, only the curve."""
    lit = relight(torch.full((400, 1, 48, 48), 100.0), 0.3)[:, 0, 23:25, 23:25].mean((1, 2)) / 255
    gamma = lit.log() / math.log(100 / 255)
    assert 2**-0.3 - 0.01 < gamma.min() < 2**-0.28
    assert 2**0.28 < gamma.max() < 2**0.3 + 0.01
    assert relight(torch.zeros(4, 1, 48, 48), 0.3).max() == 0, "black stays black"


def test_blur_takes_detail_from_a_share_of_the_pictures(images: Tensor) -> None:
    many = images.repeat(10, 1, 1, 1)
    blurred = blur(many, 0.25)
    changed = (blurred != many).flatten(1).any(1)
    assert 50 <= changed.sum() <= 110

    def detail(pictures: Tensor) -> Tensor:
        return pictures.diff(dim=3).abs().mean((1, 2, 3))

    assert (detail(blurred)[changed] < detail(many)[changed]).all()
    torch.testing.assert_close(blurred.mean((1, 2, 3)), many.mean((1, 2, 3)), atol=3, rtol=0)
    flat = torch.full((8, 1, 48, 48), 99.0)
    torch.testing.assert_close(blur(flat, 1.0), flat)


def test_a_blurred_face_was_as_small_as_one_that_is_still_found(images: Tensor) -> None:
    """Every side from the least one on occurs, and the picture is what that side enlarged gives."""
    sides = set()
    for _ in range(200):
        blurred = blur(images[:2], 1.0)
        fits = [side for side in range(8, 48) if torch.allclose(blurred, enlarged(images[:2], side), atol=0.01)]
        assert len(fits) == 1
        sides.update(fits)
    assert min(sides) == LEAST_SIDE
    assert max(sides) == 48 - 9


def enlarged(images: Tensor, side: int) -> Tensor:
    small = functional.interpolate(images, size=(side, side), mode="area")
    return functional.interpolate(small, size=(48, 48), mode="bilinear", align_corners=False)


def test_noise_has_a_strength_of_its_own_for_each_picture() -> None:
    grain = noise(torch.full((400, 1, 48, 48), 128.0), 4.0) - 128
    spread = grain.std((1, 2, 3))
    assert spread.max() < 4.2
    assert spread.max() > 3.8
    assert spread.min() < 0.1
    assert spread.mean() == pytest.approx(2, abs=0.2)
    assert grain.mean((1, 2, 3)).abs().max() < 0.4
    extremes = noise(torch.tensor([0.0, 255.0]).view(2, 1, 1, 1).expand(2, 1, 48, 48), 40.0)
    assert extremes.min() == 0
    assert extremes.max() == 255


def test_what_is_off_leaves_pictures_as_they_are(images: Tensor) -> None:
    for changed in (jitter(images, 0), relight(images, 0), blur(images, 0), noise(images, 0), move(images, Recipe(""))):
        assert changed is images


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


def test_cutout_spares_those_that_are_not_chosen(images: Tensor) -> None:
    many = images.repeat(10, 1, 1, 1) + 1
    for share, low, high in ((0.3, 65, 130), (0.0, 0, 0), (1.0, 320, 320)):
        cut = cutout(many, 16, share)
        assert low <= (cut != many).flatten(1).any(1).sum() <= high
        assert torch.equal(cut != many, cut == 0)


def test_mixing_mixes_labels_as_it_mixes_pictures(images: Tensor) -> None:
    recipe = Recipe("mix", mix=1.0)
    kinds = set()
    for _ in range(20):
        white = (LABELS == 0).float().view(-1, 1, 1, 1).expand_as(images) * 255
        mixed, targets = augment(white, functional.one_hot(LABELS, 7).float(), recipe)
        torch.testing.assert_close(mixed.mean((1, 2, 3)) / 255, targets[:, 0], atol=1e-3, rtol=0)
        kinds.add(bool(((mixed > 1) & (mixed < 254)).any()))
    assert kinds == {True, False}, "both kinds are drawn: blended ones and patched ones"


def test_mix_is_the_share_of_mixed_batches(images: Tensor) -> None:
    mixed = [not torch.equal(augment(images, TARGETS, Recipe("mix", mix=0.5))[1], TARGETS) for _ in range(100)]
    assert 30 <= sum(mixed) <= 70
