"""Every score equals medpy's on whatever small masks chance comes up with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from medpy.metric import binary as medpy

from arco.evaluation import surfaces
from arco.evaluation.metrics import asd, assd, dice, hd95, jaccard, surface_scores_in

COSTS = ("_COST_PER_TARGET", "_COST_PER_QUERY", "_COST_PER_CANDIDATE")
repeated = settings(deadline=None, max_examples=60, derandomize=True)


@st.composite
def masks(draw, shape):
    """Scattered voxels, one voxel, a block (often at the border) or the shell of a block."""
    kind = draw(st.sampled_from(["scattered", "voxel", "block", "shell"]))
    if kind == "scattered":
        mask = draw(arrays.arrays(bool, shape))
    else:
        mask = np.zeros(shape, dtype=bool)
        corners = [draw(st.tuples(*[st.integers(0, n - 1)] * 2)) for n in shape]
        if kind == "voxel":
            corners = [(first, first) for first, _ in corners]
        mask[tuple(slice(min(ends), max(ends) + 1) for ends in corners)] = True
        if kind == "shell":
            mask = surfaces.surface(mask)
    if not mask.any():
        mask[tuple(draw(st.integers(0, n - 1)) for n in shape)] = True
    return mask


@st.composite
def cases(draw):
    """Two masks that are not empty, and a spacing: None, one number, or one per axis."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=2, max_size=3)))
    step = st.floats(0.1, 12.0)
    spacing = draw(st.one_of(st.none(), step, st.tuples(*[step] * len(shape))))
    return draw(masks(shape)), draw(masks(shape)), spacing


@pytest.mark.parametrize(
    ("tries", "cost"),
    [(1e9, 1.0), (0.0, 0.0), (0.0, 1e9)],
    ids=["looking around", "tree", "transform"],
)
@repeated
@given(case=cases())
def test_distances_equal_medpys(tries, cost, case):
    prediction, truth, spacing = case
    with pytest.MonkeyPatch.context() as patch:
        for name in COSTS:
            patch.setattr(surfaces, name, cost)
        patch.setattr(surfaces, "_TRIES_PER_SEARCH", tries)
        one_way, pooled = asd(*case), assd(*case)
        directions, percentile = assd(*case, averaging="directions"), hd95(*case)
        together, voxels = surface_scores_in(prediction, truth, [spacing, None])
    assert one_way == pytest.approx(medpy.asd(*case), rel=0, abs=1e-9)
    assert pooled == pytest.approx(medpy.assd(*case), rel=0, abs=1e-9)
    assert percentile == pytest.approx(medpy.hd95(*case), rel=0, abs=1e-9)
    both_ways = [medpy.asd(*case), medpy.asd(truth, prediction, spacing)]
    assert directions == pytest.approx(np.mean(both_ways), rel=0, abs=1e-9)
    expected = (one_way, pooled, percentile)
    assert (together.asd, together.assd, together.hd95) == pytest.approx(expected, abs=1e-9)
    assert voxels.assd == pytest.approx(medpy.assd(prediction, truth), rel=0, abs=1e-9)


@repeated
@given(case=cases())
def test_overlaps_equal_medpys(case):
    prediction, truth, _ = case
    assert dice(prediction, truth) == pytest.approx(medpy.dc(prediction, truth), abs=1e-12)
    assert jaccard(prediction, truth) == pytest.approx(medpy.jc(prediction, truth), abs=1e-12)


@repeated
@given(case=cases(), factor=st.floats(0.01, 100.0))
def test_distances_grow_with_the_spacing(case, factor):
    prediction, truth, spacing = case
    steps = np.ones(prediction.ndim) if spacing is None else np.asarray(spacing)
    near, far = surface_scores_in(prediction, truth, [steps, factor * steps])
    assert far.assd == pytest.approx(factor * near.assd)
    assert far.hd95 == pytest.approx(factor * near.hd95)
    assert assd(truth, prediction, steps) == pytest.approx(near.assd)
