from __future__ import annotations

import numpy as np
import pytest

from arco.data.anatomy.flow import banding, blood_flow
from arco.data.anatomy.shapes import Grid, make_grid
from arco.data.anatomy.tubes import Tube
from arco.data.anatomy.whole_heart import draw_whole_heart

SEEDS = range(12)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid((60, 60, 20), (2.5, 2.5, 6.0))


def test_bands_are_dark_narrow_and_in_about_half_of_the_scans(grid: Grid) -> None:
    gains = [banding(grid, np.random.default_rng(seed)) for seed in SEEDS]
    assert all(gain.dtype == np.float32 and gain.shape == grid.shape for gain in gains)
    banded = [gain for gain in gains if gain.min() < 1]
    assert 0.25 * len(gains) <= len(banded) <= 0.75 * len(gains)
    for gain in banded:
        assert 0.25 < gain.min() < 0.85
        assert gain.max() == pytest.approx(1)
        assert np.median(gain) > 0.95


def test_a_band_crosses_the_image_from_slice_to_slice(grid: Grid) -> None:
    gains = [banding(grid, np.random.default_rng(seed)) for seed in SEEDS]
    for gain in gains:
        if gain.min() < 1:
            dark = (gain < (1 + gain.min()) / 2).any(axis=(0, 1))
            assert dark.all()


def test_jets_change_blood_near_the_valves_and_no_further(grid: Grid) -> None:
    near, far = [], []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        heart = draw_whole_heart(rng)
        gain = blood_flow(heart, grid, rng)
        root = Tube("blood", heart.aorta[0].start_mm, heart.aorta[0].end_mm, (0, 0))
        near.append(gain[root.distance_mm(grid) < 3].mean())
        far.append(gain[np.hypot(*grid.position_mm[:2]) > 65])
    # Mixing alone is at most 0.1 in the standard deviation, of mean 0 over the whole scan.
    assert min(near) < 0.75
    for gain in far:
        assert gain.mean() == pytest.approx(1, abs=0.05)
        assert gain.std() < 0.13
