from __future__ import annotations

import numpy as np

from arco.data.anatomy.ct_artefacts import add_metal, add_specks, add_streaks

SHAPE = (60, 50, 8)


def body() -> np.ndarray:
    """[x, y, z] HU: air around a box of tissue of 40 HU."""
    values = np.full(SHAPE, -1000, dtype=np.float32)
    values[10:50, 10:40] = 40
    return values


def test_streaks_run_from_left_to_right_and_differ_between_slices() -> None:
    values = np.zeros(SHAPE, dtype=np.float32)
    add_streaks(values, np.random.default_rng(0), 15)
    along, across = (np.abs(np.diff(values, axis=axis)).mean() for axis in (0, 1))
    assert along < 0.1 * across
    strength = values.std(axis=(0, 1))
    assert 5 < strength.max() < 25
    assert strength.min() < 0.3 * strength.max()


def test_metal_in_the_body_throws_bright_and_dark_rays_in_its_own_slices() -> None:
    for seed in range(5):
        values = body()
        add_metal(values, np.random.default_rng(seed), 3071)
        changed = values - body()
        metal = np.argwhere(values == 3071)
        assert 4 <= len(metal) <= 20
        assert 9 <= metal[:, 0].mean() < 51
        assert np.ptp(metal[:, 2]) <= 1
        rays = changed[values < 3071]
        assert rays.min() < -30
        assert rays.max() > 30
        assert set(np.argwhere(changed)[:, 2]) == set(metal[:, 2])


def test_specks_are_few_bright_voxels_in_the_body() -> None:
    values = body()
    add_specks(values, np.random.default_rng(0), 3, 3071)
    specks = values == 3071
    assert 3 <= specks.sum() <= 6
    assert (body()[specks] == 40).mean() > 0.5
    add_specks(values, np.random.default_rng(0), 0, 5000)
    assert values.max() == 3071
