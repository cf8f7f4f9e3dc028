import numpy as np
import pytest

from fer_model.training.degrade import KINDS, degrade, degrade_randomly
from tests.support.clips import noise_picture

PICTURE = noise_picture(97, 61)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_changes_the_picture_and_keeps_its_form(kind: str, seed: int) -> None:
    before = PICTURE.copy()
    changed = degrade(PICTURE, kind, np.random.default_rng(seed))
    assert changed.shape == PICTURE.shape
    assert changed.dtype == np.uint8
    assert (changed != PICTURE).any()
    np.testing.assert_array_equal(PICTURE, before)
    np.testing.assert_array_equal(changed, degrade(PICTURE, kind, np.random.default_rng(seed)))


@pytest.mark.parametrize("kind", ["motion_blur", "defocus", "low_resolution"])
def test_blurs_take_away_detail(kind: str) -> None:
    checks = np.repeat((np.indices((60, 60)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    assert degrade(checks, kind, np.random.default_rng(1)).std() < 0.8 * checks.std()


def test_dim_is_darker() -> None:
    assert (degrade(PICTURE, "dim", np.random.default_rng(0)) <= PICTURE).all()


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="unknown degradation 'fog'"):
        degrade(PICTURE, "fog", np.random.default_rng(0))


def test_each_kind_comes_by_its_chance() -> None:
    random = np.random.default_rng(0)
    np.testing.assert_array_equal(degrade_randomly(PICTURE, 0.0, random), PICTURE)
    untouched = sum(np.array_equal(degrade_randomly(PICTURE, 0.1, random), PICTURE) for _ in range(400))
    assert untouched / 400 == pytest.approx(0.9 ** len(KINDS), abs=0.08)
