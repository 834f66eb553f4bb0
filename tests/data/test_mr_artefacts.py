from __future__ import annotations

import numpy as np
import pytest

from arco.data.anatomy.mr_artefacts import add_bands, add_ghost, add_glints, add_inflow
from arco.data.anatomy.shapes import make_grid

GRID = make_grid((40, 48, 10), (1.5, 1.5, 1.5))


def test_a_ghost_is_the_image_moved_along_y() -> None:
    image = np.zeros(GRID.shape, dtype=np.float32)
    image[12, 3, 4] = 2
    add_ghost(image, np.random.default_rng(0), 0.1)
    ghost = np.argwhere((image > 0) & (image < 2))
    assert ghost.shape == (1, 3)
    x, y, z = ghost[0]
    assert (x, z) == (12, 4)
    assert 3 + 8 <= y < 3 + 24
    assert image[x, y, z] == pytest.approx(0.2)


def test_bands_lie_in_one_direction_of_the_plane_and_keep_the_mean() -> None:
    image = np.ones(GRID.shape, dtype=np.float32)
    add_bands(image, GRID, np.random.default_rng(1), 0.15)
    assert 0.84 < image.min() < 0.9 < 1.1 < image.max() < 1.16
    assert not np.ptp(image, axis=2).any()
    assert image.mean() == pytest.approx(1, abs=0.05)
    spectrum = np.abs(np.fft.rfft2(image[..., 0] - image.mean()))
    assert np.sort(spectrum.ravel())[-4:].sum() > 0.25 * spectrum.sum()


def test_inflow_is_brightest_where_the_blood_enters() -> None:
    image = np.ones(GRID.shape, dtype=np.float32)
    add_inflow(image, GRID, GRID.position_mm[:, 10, 20, 5], 0.5)
    assert np.unravel_index(image.argmax(), image.shape) == (10, 20, 5)
    assert image.max() == pytest.approx(1.5)
    assert image[18, 20, 5] == pytest.approx(1 + 0.5 * np.exp(-0.5))  # 12 mm away


def test_glints_are_a_few_voxels_and_the_first_reaches_the_peak() -> None:
    for seed in range(10):
        image = np.zeros(GRID.shape, dtype=np.float32)
        add_glints(image, np.random.default_rng(seed), 4, 5.0)
        bright = image > 0
        assert 4 <= bright.sum() <= 32
        assert image[bright].min() >= 2.5
        assert image.max() == 5
        assert bright[10:32, 12:38].sum() == bright.sum()
