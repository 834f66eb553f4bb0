"""Surfaces, and the three ways to the same distances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt

from arco.evaluation import surfaces
from arco.evaluation.surfaces import SurfacePair, joint_box, nearest_distances, surface

SHAPE = (26, 33, 41)
SPACING_MM = np.array([2.5, 1.1, 0.7])


def ball(radius, center=(13, 16, 20), shape=SHAPE):
    axes = np.ogrid[tuple(slice(side) for side in shape)]
    return sum((x - c) ** 2 for x, c in zip(axes, center, strict=True)) < radius**2


def noise(density, seed):
    return np.random.default_rng(seed).random(SHAPE) < density


PAIRS = {
    "apart": (ball(3, (4, 4, 4)), ball(4, (20, 27, 35))),
    "overlapping": (ball(9), ball(9, (15, 13, 21))),
    "shells": (surface(ball(3)), surface(ball(12))),
    "sparse noise": (noise(0.002, 1), noise(0.002, 2)),
    "dense noise": (noise(0.4, 3), noise(0.4, 4)),
    "noise in a shell": (ball(9) & noise(0.3, 5), surface(ball(12))),
}


def transforms_of(monkeypatch):
    """Record the calls that take the distance transform."""
    calls = []
    transform = surfaces._by_transform

    def recorded(*arguments):
        calls.append(arguments)
        return transform(*arguments)

    monkeypatch.setattr(surfaces, "_by_transform", recorded)
    return calls


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize(
    ("tries", "cost", "is_transform"),
    [(1e9, 0.0, False), (0.0, 0.0, False), (0.0, 1e9, True)],
    ids=["looking around", "tree", "transform"],
)
def test_every_way_gives_the_same_distances(pair, tries, cost, is_transform, monkeypatch):
    monkeypatch.setattr(surfaces, "_TRIES_PER_SEARCH", tries)
    for name in ("_COST_PER_TARGET", "_COST_PER_QUERY", "_COST_PER_CANDIDATE"):
        monkeypatch.setattr(surfaces, name, cost)
    calls = transforms_of(monkeypatch)
    origin, target = pair
    expected = distance_transform_edt(~target, sampling=SPACING_MM)[origin]
    np.testing.assert_allclose(
        nearest_distances(origin, target, SPACING_MM), expected, rtol=1e-12, atol=1e-12
    )
    assert bool(calls) is is_transform


def test_dense_masks_are_settled_by_looking_around():
    distances = surfaces._look_around(*PAIRS["dense noise"], np.ones(3))
    assert not np.isnan(distances).any()


def test_looking_around_stops_where_nothing_is_near():
    distances = surfaces._look_around(*PAIRS["apart"], np.ones(3))
    assert np.isnan(distances).all()


@pytest.mark.parametrize("name", ["apart", "sparse noise"])
def test_small_surfaces_in_a_large_box_are_searched_by_tree(name, monkeypatch):
    calls = transforms_of(monkeypatch)
    pair = SurfacePair.between(*PAIRS[name])
    pair.from_prediction(SPACING_MM)
    pair.from_truth(SPACING_MM)
    assert not calls


def test_no_step_is_left_out_that_is_shorter_than_one_tried():
    spacing = np.array([2.0, 1.0])
    steps, lengths = surfaces._steps(spacing)
    everything = np.indices((11, 11)).reshape(2, -1).T - 5
    nearby = np.linalg.norm(everything * spacing, axis=1) < lengths[-1]
    assert {tuple(step) for step in everything[nearby]} <= {tuple(step) for step in steps}
    assert lengths[0] == 0.0
    assert (np.diff(lengths) >= 0).all()


@pytest.mark.parametrize(("middle", "is_transform"), [(31, True), (53, False)])
def test_points_that_see_very_many_voxels_equally_far_take_the_transform(
    middle, is_transform, monkeypatch
):
    calls = transforms_of(monkeypatch)
    shape, center = (63, 63, 63), (31, 31, 31)
    shell = surface(ball(30, center, shape))
    points = ball(7, (middle, 31, 31), shape)  # around the center of the shell, or close to it
    nearest_distances(points, shell, np.ones(3))
    assert bool(calls) is is_transform


def test_distances_come_in_the_order_of_the_voxels():
    origin = np.zeros((4, 6), dtype=bool)
    origin[0, 5] = origin[2, 1] = origin[3, 4] = True
    target = np.zeros((4, 6), dtype=bool)
    target[2, 1] = True
    distances = nearest_distances(origin, target, np.array([3.0, 1.0]))
    np.testing.assert_allclose(distances, [np.hypot(6, 4), 0.0, np.hypot(3, 3)])


def test_the_memory_order_of_the_masks_does_not_matter():
    origin, target = PAIRS["overlapping"]
    expected = nearest_distances(origin, target, SPACING_MM)
    for other in (np.asfortranarray, lambda mask: np.repeat(mask, 2, axis=2)[:, :, ::2]):
        np.testing.assert_array_equal(
            nearest_distances(other(origin), other(target), SPACING_MM), expected
        )


@pytest.mark.parametrize("mask", [ball(8), ball(30), noise(0.6, 6), noise(0.97, 7)])
def test_surface_is_what_an_erosion_removes(mask):
    np.testing.assert_array_equal(surface(mask), mask ^ binary_erosion(mask))


def test_joint_box_holds_both_masks_and_nothing_more():
    first, second = np.zeros((9, 8, 7), dtype=bool), np.zeros((9, 8, 7), dtype=bool)
    first[2, 3, 6] = True
    second[7, 3, 1] = True
    assert joint_box(first, second) == (slice(2, 8), slice(3, 4), slice(1, 7))


@pytest.mark.parametrize("empty", ["prediction", "truth"])
def test_an_empty_mask_has_no_surface(empty):
    masks = {"prediction": ball(5), "truth": ball(5), empty: np.zeros(SHAPE, dtype=bool)}
    with pytest.raises(ValueError, match=rf"the {empty} is empty \(shape \(26, 33, 41\)\)"):
        SurfacePair.between(**masks)
