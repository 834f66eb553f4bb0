from __future__ import annotations

import numpy as np
import pytest

from arco.data.anatomy.artefacts import banding, bright_spots, flow, ghost, slice_gains
from arco.data.anatomy.shapes import make_grid

GRID = make_grid((40, 36, 6), (1.5, 1.5, 8.0))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_bands_take_their_depth_of_the_signal_and_leave_most_of_the_image(
    rng: np.random.Generator,
) -> None:
    factors = banding(GRID, rng, (20, 25), 0.6)
    assert factors.shape == GRID.shape
    assert factors.min() == pytest.approx(0.4, abs=0.02)
    assert factors.max() == pytest.approx(1, abs=0.01)
    assert np.median(factors) > 0.95


def test_bands_lie_about_a_period_apart() -> None:
    line = make_grid((400, 400, 1), (0.5, 0.5, 8.0))
    factors = banding(line, np.random.default_rng(0), (50, 50), 0.5)
    dark = factors[..., 0] < 0.75
    crossed = [np.count_nonzero(np.diff(row.astype(int)) == 1) for row in (*dark, *dark.T)]
    assert 3 <= max(crossed) <= 10  # 200 mm in a direction that is not an axis, and bent


def test_flow_has_mean_one_and_stays_within_bounds(rng: np.random.Generator) -> None:
    factors = flow(GRID, rng, 4.0, 0.1)
    assert factors.mean() == pytest.approx(1, abs=0.01)
    assert factors.std() == pytest.approx(0.1, abs=0.01)
    wild = flow(GRID, rng, 4.0, 2.0)
    assert wild.min() == np.float32(0.25)
    assert wild.max() == np.float32(1.6)


def test_a_gain_belongs_to_a_whole_slice(rng: np.random.Generator) -> None:
    gains = slice_gains(make_grid((2, 2, 4000), (1.0, 1.0, 1.0)), rng, 0.1)
    assert gains.shape == (1, 1, 4000)
    assert np.log(gains).std() == pytest.approx(0.1, rel=0.05)


def test_ghosts_lie_on_both_sides_of_their_source_and_nowhere_else() -> None:
    source = np.zeros((9, 5, 2), dtype=np.float32)
    source[4, 2, 0] = 2
    expected = np.zeros_like(source)
    expected[[1, 7], 2, 0] = 0.5
    assert np.array_equal(ghost(source, 0, 3, 0.25), expected)


@pytest.mark.parametrize("count", [1, 7])
def test_the_brightest_spot_has_the_ratio_to_the_99th_percentile(
    rng: np.random.Generator, count: int
) -> None:
    image = rng.uniform(0, 1, GRID.shape).astype(np.float32)
    before = image.copy()
    spotted = bright_spots(image, rng, count, 3.0)
    assert np.array_equal(image, before)
    assert spotted.max() == pytest.approx(3 * np.percentile(image, 99))
    assert (spotted >= image).all()
    changed = spotted != image
    assert 0 < changed.mean() < 0.1
    assert np.percentile(spotted, 99) == pytest.approx(np.percentile(image, 99), rel=0.6)


def test_the_brightest_spot_is_the_maximum_even_where_tissue_was_brighter(
    rng: np.random.Generator,
) -> None:
    image = rng.uniform(0, 1, GRID.shape).astype(np.float32)
    image[0, 0, 0] = 50
    assert bright_spots(image, rng, 2, 1.5).max() == pytest.approx(1.5 * np.percentile(image, 99))
