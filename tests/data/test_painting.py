from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from arco.data.anatomy.shapes import Ellipsoid, Grid, Volume, coverage, distort, make_grid, paint
from arco.data.anatomy.tubes import Organ, Tube, paint_organs

TISSUES = {"blood": 0.7}


@dataclass(frozen=True)
class Half:
    """All on one side of a plane: an organ of a kind that painting does not know."""

    tissue: str = "blood"

    def distance_mm(self, grid: Grid) -> Volume:
        return grid.position_mm[0]


ORGANS: list[Organ] = [
    Ellipsoid("blood", (4.0, -2.0, 1.0), (9.0, 4.0, 6.0), 0.7),
    Ellipsoid("blood", (-8.0, 0.0, 0.0), (2.0, 12.0, np.inf), 0.2),
    Ellipsoid("blood", (200.0, 0.0, 0.0), (5.0, 5.0, 5.0)),
    Tube("blood", (-14.0, 3.0, -5.0), (-2.0, -6.0, 8.0), (2.0, 5.0)),
    Half(),
]


@pytest.mark.parametrize("organ", ORGANS, ids=lambda organ: type(organ).__name__)
def test_painting_reaches_all_that_an_organ_covers_and_nothing_else(organ: Organ) -> None:
    grid = make_grid((40, 30, 12), (1.0, 1.5, 3.0))
    grid = distort(grid, np.random.default_rng(0), 2.0, (20, 40))
    found, whole = (np.full(grid.shape, 0.1, dtype=np.float32) for _ in range(2))
    paint(whole, coverage(organ.distance_mm(grid), grid.pixel_mm), 0.7)
    paint_organs([found], [organ], [TISSUES], grid)
    np.testing.assert_allclose(found, whole, atol=1e-5)
