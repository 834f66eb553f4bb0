"""Scores of masks small enough to solve by hand, and of a few that only medpy can solve."""

from __future__ import annotations

import math

import numpy as np
import pytest
from medpy.metric import binary as medpy

from arco.evaluation import surfaces
from arco.evaluation.metrics import (
    SurfaceScores,
    asd,
    assd,
    dice,
    hd95,
    jaccard,
    surface_scores,
    surface_scores_in,
)

SHAPE = (12, 17, 23)
SPACING_MM = (3.0, 1.2, 0.9)


def voxels(*positions, shape):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(np.transpose(positions))] = True
    return mask


def box(*slices, shape=SHAPE):
    mask = np.zeros(shape, dtype=bool)
    mask[slices] = True
    return mask


def ellipsoid(center, radii, shape):
    axes = np.ogrid[tuple(slice(side) for side in shape)]
    terms = [((x - c) / r) ** 2 for x, c, r in zip(axes, center, radii, strict=True)]
    return sum(terms) < 1


EMPTY = np.zeros(SHAPE, dtype=bool)
BLOCK = box(slice(2, 6), slice(3, 9), slice(4, 15))


@pytest.fixture
def squares():
    """Truth: two squares of 10 x 10, 20 columns apart. Prediction: only the first of them."""
    prediction = box(slice(3, 13), slice(2, 12), shape=(16, 40))
    return prediction, prediction | np.roll(prediction, 20, axis=1)


def test_overlap_of_a_hand_counted_pair():
    prediction = np.array([[1, 1, 0], [1, 0, 0]])  # 3 pixels
    truth = np.array([[1, 0, 0], [1, 1, 1]])  # 4 pixels, 2 of them shared
    assert dice(prediction, truth) == pytest.approx(2 * 2 / (3 + 4))
    assert jaccard(prediction, truth) == pytest.approx(2 / 5)


def test_two_pixels_two_millimeters_apart():
    first = voxels((1, 1), shape=(3, 4))
    second = voxels((1, 2), shape=(3, 4))
    assert surface_scores(first, second, (5.0, 2.0)) == SurfaceScores(2.0, 2.0, 2.0)
    assert surface_scores(first, second) == SurfaceScores(1.0, 1.0, 1.0)
    assert dice(first, second) == jaccard(first, second) == 0.0


def test_each_axis_has_its_own_spacing():
    first = voxels((0, 0, 0), shape=SHAPE)
    second = voxels((1, 2, 4), shape=SHAPE)  # 12 mm, 3 mm and 4 mm away
    assert assd(first, second, (12.0, 1.5, 1.0)) == pytest.approx(13.0)


def test_missing_one_of_two_squares(squares):
    prediction, truth = squares
    # 36 edge pixels a square; those of the missed one lie 11 ... 20 columns away, on average 15.5
    assert dice(prediction, truth) == pytest.approx(2 / 3)
    assert jaccard(prediction, truth) == pytest.approx(1 / 2)
    assert asd(prediction, truth) == 0.0
    assert asd(truth, prediction) == pytest.approx(7.75)
    assert assd(prediction, truth) == pytest.approx(36 * 15.5 / 108)  # 5.1667
    assert assd(prediction, truth, averaging="directions") == pytest.approx(3.875)
    # of 108 distances 76 are below 12 ... 10 are 20: the 95th percentile is among those
    assert hd95(prediction, truth) == pytest.approx(20.0)


def test_percentile_lies_between_the_distances_it_falls_between():
    prediction = voxels((0, 0), shape=(2, 30))
    truth = voxels((0, 0), (0, 10), shape=(2, 30))
    # distances 0 | 0, 10: the 95th percentile is at rank 1.9 of 0 ... 2
    assert hd95(prediction, truth) == pytest.approx(0.9 * 10)


def test_the_edge_of_the_array_is_surface():
    everything = np.ones((5, 7), dtype=bool)
    center = voxels((2, 3), shape=(5, 7))
    # the center is 2 rows away from the nearest of the 20 edge pixels
    assert asd(center, everything) == 2.0
    assert assd(center, everything) == pytest.approx(medpy.assd(center, everything), abs=1e-12)


def test_a_mask_agrees_with_itself():
    assert dice(BLOCK, BLOCK) == jaccard(BLOCK, BLOCK) == 1.0
    assert surface_scores(BLOCK, BLOCK, SPACING_MM) == SurfaceScores(0.0, 0.0, 0.0)


def test_distances_double_when_the_spacing_doubles():
    shifted = np.roll(BLOCK, (3, -2, 5), axis=(0, 1, 2))
    once = surface_scores(shifted, BLOCK, SPACING_MM)
    twice = surface_scores(shifted, BLOCK, 2 * np.array(SPACING_MM))
    assert once.hd95 > once.asd > 0
    assert twice.asd == pytest.approx(2 * once.asd)
    assert twice.assd == pytest.approx(2 * once.assd)
    assert twice.hd95 == pytest.approx(2 * once.hd95)


def test_symmetric_scores_do_not_ask_which_mask_is_the_truth(squares):
    prediction, truth = squares
    assert assd(prediction, truth, (2.0, 0.7)) == pytest.approx(assd(truth, prediction, (2.0, 0.7)))
    assert hd95(prediction, truth, (2.0, 0.7)) == hd95(truth, prediction, (2.0, 0.7))
    assert asd(prediction, truth) != asd(truth, prediction)


def test_one_number_is_the_spacing_of_every_axis():
    shifted = np.roll(BLOCK, 2, axis=1)
    assert surface_scores(shifted, BLOCK, 1.5) == surface_scores(shifted, BLOCK, (1.5, 1.5, 1.5))


def test_several_spacings_give_what_each_gives_alone():
    shifted = np.roll(BLOCK, (1, -3, 2), axis=(0, 1, 2))
    spacings = [None, 0.625, SPACING_MM, [2.0, 2.0, 2.0]]
    together = surface_scores_in(shifted, BLOCK, spacings)
    assert together == [surface_scores(shifted, BLOCK, spacing) for spacing in spacings]
    for scores, spacing in zip(together, spacings, strict=True):
        assert scores.asd == pytest.approx(asd(shifted, BLOCK, spacing))
        assert scores.assd == pytest.approx(assd(shifted, BLOCK, spacing))
        assert scores.hd95 == pytest.approx(hd95(shifted, BLOCK, spacing))


def test_spacings_with_equal_proportions_measure_only_once(monkeypatch):
    calls = []
    measure = surfaces.nearest_distances
    monkeypatch.setattr(
        surfaces, "nearest_distances", lambda *masks: calls.append(1) or measure(*masks)
    )
    surface_scores_in(np.roll(BLOCK, 1, axis=0), BLOCK, [None, 0.625, SPACING_MM])
    assert len(calls) == 4  # two directions, isotropic and not


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((61, 83), (1.4, 0.8)), ((31, 47, 59), (5.0, 1.37, 0.9)), ((31, 47, 59), None)],
)
def test_organs_score_as_with_medpy(shape, spacing):
    center, radii = [side / 2 for side in shape], [side / 3 for side in shape]
    truth = ellipsoid(center, radii, shape)
    prediction = np.roll(ellipsoid(center, [0.9 * r for r in radii], shape), 3, axis=1)
    scores = surface_scores(prediction, truth, spacing)
    assert scores.asd == pytest.approx(medpy.asd(prediction, truth, spacing), abs=1e-9)
    assert scores.assd == pytest.approx(medpy.assd(prediction, truth, spacing), abs=1e-9)
    assert scores.hd95 == pytest.approx(medpy.hd95(prediction, truth, spacing), abs=1e-9)
    assert dice(prediction, truth) == pytest.approx(medpy.dc(prediction, truth), abs=1e-12)
    assert jaccard(prediction, truth) == pytest.approx(medpy.jc(prediction, truth), abs=1e-12)


@pytest.mark.parametrize(
    ("prediction", "truth", "overlap"),
    [(EMPTY, EMPTY, math.nan), (EMPTY, BLOCK, 0.0), (BLOCK, EMPTY, 0.0)],
)
def test_undefined_scores_are_nan(prediction, truth, overlap):
    assert dice(prediction, truth) == pytest.approx(overlap, nan_ok=True)
    assert jaccard(prediction, truth) == pytest.approx(overlap, nan_ok=True)
    assert math.isnan(asd(prediction, truth))
    assert math.isnan(assd(prediction, truth, SPACING_MM))
    assert math.isnan(hd95(prediction, truth))
    for scores in surface_scores_in(prediction, truth, [None, SPACING_MM]):
        assert math.isnan(scores.asd)
        assert math.isnan(scores.assd)
        assert math.isnan(scores.hd95)


def test_masks_of_zeros_and_ones_may_be_integers():
    shifted = np.roll(BLOCK, 1, axis=2)
    assert dice(shifted.astype(np.uint8), BLOCK.astype(np.int64)) == dice(shifted, BLOCK)
    assert assd(shifted.astype(np.int32), BLOCK) == assd(shifted, BLOCK)


def test_the_masks_are_left_as_they_were():
    prediction, truth = np.roll(BLOCK, 1, axis=0), BLOCK.copy()
    before = prediction.copy()
    dice(prediction, truth)
    surface_scores(prediction, truth, SPACING_MM)
    np.testing.assert_array_equal(prediction, before)
    np.testing.assert_array_equal(truth, BLOCK)


@pytest.mark.parametrize("score", [dice, jaccard, asd, assd, hd95, surface_scores])
@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.ones((3, 4), bool), np.ones((4, 3), bool), r"\(3, 4\), but truth \(4, 3\)"),
        (np.ones(5, bool), np.ones(5, bool), r"2 or 3 axes, got shape \(5,\)"),
        (np.full((3, 4), 2), np.ones((3, 4), bool), "prediction must hold only 0 and 1, got 2"),
        (np.ones((3, 4), bool), np.full((3, 4), -1), "truth must hold only 0 and 1, got -1"),
        (np.ones((3, 4)), np.ones((3, 4), bool), "prediction must hold .* got float64"),
    ],
)
def test_what_is_no_pair_of_masks_is_refused(score, prediction, truth, message):
    with pytest.raises(ValueError, match=message):
        score(prediction, truth)


@pytest.mark.parametrize("score", [asd, assd, hd95, surface_scores])
@pytest.mark.parametrize(
    ("spacing", "message"),
    [
        ((1.0, 2.0), r"one number or 3, one per axis, got \(1.0, 2.0\)"),
        ((1.0, 0.0, 2.0), r"positive and finite, got \(1.0, 0.0, 2.0\)"),
        (-1.5, "positive and finite, got -1.5"),
        ((1.0, math.nan, 1.0), "positive and finite, got .*nan"),
        ((1.0, math.inf, 1.0), "positive and finite, got .*inf"),
    ],
)
@pytest.mark.parametrize("prediction", [BLOCK, EMPTY])
def test_a_spacing_that_is_none_is_refused_even_for_empty_masks(
    score, spacing, message, prediction
):
    with pytest.raises(ValueError, match=message):
        score(prediction, BLOCK, spacing)


def test_an_unknown_averaging_is_refused():
    with pytest.raises(ValueError, match="got 'median'"):
        assd(BLOCK, BLOCK, averaging="median")
