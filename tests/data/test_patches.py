from __future__ import annotations

import numpy as np
import pytest

from arco.data.patches import cut, first_voxels


@pytest.mark.parametrize(
    ("shape", "size", "unit", "first"),
    [
        ((10, 20, 30), (4, 8, 16), (0.0, 0.5, 0.999), (0, 6, 14)),
        ((4, 8, 16), (4, 8, 16), (0.9, 0.9, 0.9), (0, 0, 0)),
        ((3, 5, 6), (8, 8, 8), (0.3, 0.3, 0.3), (-2, -1, -1)),
    ],
)
def test_patches_start_where_they_fit_and_small_volumes_stand_in_the_middle(
    shape, size, unit, first
):
    assert first_voxels(shape, size, unit) == first


def test_every_start_is_possible():
    starts = {first_voxels((10,), (4,), (u,))[0] for u in np.linspace(0, 1, 100, endpoint=False)}
    assert starts == set(range(7))


def test_a_patch_is_the_part_of_the_volume():
    volume = np.arange(2 * 6 * 7 * 8, dtype=np.float32).reshape(2, 6, 7, 8)
    patch = cut(volume, (1, 2, 3), (4, 5, 3), 0)
    np.testing.assert_array_equal(patch, volume[:, 1:5, 2:7, 3:6])
    patch[:] = 0
    assert volume[0, 1, 2, 3] != 0


def test_what_lies_outside_the_volume_is_filled():
    volume = np.ones((3, 5, 6), dtype=np.int16)
    patch = cut(volume, (-2, -1, 1), (8, 8, 8), -1)
    inside = patch != -1
    assert inside.sum() == 3 * 5 * 5
    assert inside[2:5, 1:6, :5].all()
