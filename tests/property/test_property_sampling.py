from __future__ import annotations

from fractions import Fraction

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from arco.sampling import Groups, Scheme, draw, group
from arco.theory import (
    enumerate_fixed,
    enumerate_systematic,
    group_moments,
    lemma_3_1,
    sampler_variances,
    theorem_3_2_gap,
)

repeatable = settings(deadline=None, max_examples=40, derandomize=True)
samplers = st.sampled_from(["ns", "sg", "sag"])


@st.composite
def masks(draw_value: st.DrawFn) -> tuple[Tensor, tuple[int, ...]]:
    """A mask with at least one candidate and a grid that may exceed its axes."""
    axes = draw_value(st.integers(2, 3))
    lengths = draw_value(st.lists(st.integers(1, 9), min_size=axes, max_size=axes))
    grid = draw_value(st.lists(st.integers(1, 5), min_size=axes, max_size=axes))
    generator = torch.Generator().manual_seed(draw_value(st.integers(0, 2**31)))
    share = draw_value(st.sampled_from([0.02, 0.3, 0.8, 1.0]))
    mask = torch.rand((draw_value(st.integers(1, 3)), *lengths), generator=generator) < share
    mask.view(-1)[int(torch.randint(mask.numel(), (), generator=generator))] = True
    return mask, tuple(grid)


@st.composite
def pixel_groups(draw_value: st.DrawFn) -> list[list[Fraction]]:
    """One to three groups of one to four pixels with small values."""
    values = st.lists(st.integers(-4, 4).map(Fraction), min_size=1, max_size=4)
    return draw_value(st.lists(values, min_size=1, max_size=3))


def counts(indices: Tensor, groups: Groups) -> Tensor:
    """[rows, M]: n_m of each row; fails on an index that is no candidate."""
    rank = torch.full((torch.tensor(groups.shape).prod(),), -1)
    rank[groups.candidates] = torch.arange(groups.total)
    assert (rank[indices] >= 0).all()
    found = torch.zeros(len(indices), len(groups.sizes), dtype=torch.int64)
    group_ids = groups.group_of[rank[indices].flatten()].long().view(indices.shape)
    return found.scatter_add_(1, group_ids, torch.ones_like(group_ids))


@repeatable
@given(masks(), samplers, st.integers(0, 70), st.integers(0, 2**31))
def test_a_draw_keeps_its_contract_on_any_mask(
    example: tuple[Tensor, tuple[int, ...]], sampler: str, n: int, seed: int
):
    mask, grid = example
    groups = group(mask, grid)
    indices = draw(mask, n, sampler, grid, torch.Generator().manual_seed(seed), rows=3)
    assert tuple(indices.shape) == (3, n)
    again = draw(groups, n, sampler, None, torch.Generator().manual_seed(seed), rows=3)
    assert torch.equal(again, indices)
    found = counts(indices, groups)
    if sampler == "sg":
        assert ((found - n * groups.sizes / groups.total).abs() < 1 + 1e-5).all()
    if sampler == "sag" and n % 2 == 0:
        assert ((found / 2 - n // 2 * groups.sizes / groups.total).abs() < 1 + 1e-5).all()


@repeatable
@given(masks(), st.booleans())
def test_groups_are_a_partition_of_the_candidates(
    example: tuple[Tensor, tuple[int, ...]], pool_batch: bool
):
    mask, grid = example
    groups = group(mask, grid, pool_batch=pool_batch)
    assert groups.candidates.sort().values.tolist() == mask.flatten().nonzero().flatten().tolist()
    for part in groups.candidates.split(groups.sizes.tolist()):
        assert (part.diff() > 0).all()  # raster order


@repeatable
@given(masks(), st.integers(1, 40), st.integers(0, 2**31))
def test_geometric_mirrors_stay_in_the_mask_and_in_the_group(
    example: tuple[Tensor, tuple[int, ...]], pairs: int, seed: int
):
    mask, grid = example
    groups = group(mask, grid)
    scheme = Scheme(reflection="cell_mirror")
    generator = torch.Generator().manual_seed(seed)
    indices = draw(groups, 2 * pairs, "sag", None, generator, rows=2, scheme=scheme)
    assert (counts(indices, groups) % 2 == 0).all()


@repeatable
@given(masks(), st.integers(0, 2**31), st.floats(0, 1))
def test_without_replacement_every_draw_up_to_all_candidates_is_distinct(
    example: tuple[Tensor, tuple[int, ...]], seed: int, share: float
):
    mask, grid = example
    n = int(share * int(mask.sum()))
    generator = torch.Generator().manual_seed(seed)
    indices = draw(mask, n, "sg", grid, generator, scheme=Scheme(replacement=False))
    assert len(indices.unique()) == n


@repeatable
@given(masks(), st.integers(1, 40), st.integers(0, 2**31))
def test_stratification_never_loses_but_for_rounding_and_pairs_never_more_than_double(
    example: tuple[Tensor, tuple[int, ...]], half: int, seed: int
):
    mask, grid = example
    field = torch.randn(mask.shape, generator=torch.Generator().manual_seed(seed))
    n = 2 * half
    found = sampler_variances(group_moments(field, group(mask, grid)), n)
    stratified = found.sg - found.sg_rounding
    antithetic = found.sag - found.sag_rounding
    assert float(found.gap) >= 0
    assert abs(float(found.ns - found.gap - stratified)) <= 1e-12
    assert float(antithetic) <= 2 * float(stratified) + 1e-12


@repeatable
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**31))
def test_with_integer_shares_the_orderings_hold_for_the_sampler_itself(
    height: int, width: int, per_cell: int, seed: int
):
    generator = torch.Generator().manual_seed(seed)
    field = torch.randn((2, 6 * height, 4 * width), generator=generator)
    groups = group(torch.ones_like(field, dtype=torch.bool), (3, 4))
    found = sampler_variances(group_moments(field, groups), 2 * per_cell * 24)
    assert abs(float(found.sg_rounding)) + abs(float(found.sag_rounding)) <= 1e-15
    assert float(found.sg) <= float(found.ns) + 1e-15
    assert float(found.sag) <= 2 * float(found.sg) + 1e-15


@repeatable
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=6), st.booleans())
def test_even_fields_double_and_odd_fields_cancel(half: list[int], even: bool):
    mirrored = half[::-1] if even else [-h for h in half[::-1]]
    field = torch.tensor([[half + mirrored]], dtype=torch.float64)
    found = sampler_variances(group_moments(field, group(torch.ones_like(field).bool(), (1, 1))), 8)
    expected = 2 * float(found.sg) if even else 0.0
    assert abs(float(found.sag) - expected) <= 1e-12


@repeatable
@given(pixel_groups(), st.data(), samplers)
def test_lemma_3_1_is_exact_for_any_counts(
    groups: list[list[Fraction]], data: st.DataObject, sampler: str
):
    draws = data.draw(
        st.lists(st.integers(0, 2), min_size=len(groups), max_size=len(groups)).filter(any)
    )
    if sampler == "ns":
        draws = [min(sum(draws), 3)] + [0] * (len(groups) - 1)
    assert enumerate_fixed(groups, draws, sampler)[1] == lemma_3_1(groups, draws, sampler)


@repeatable
@given(pixel_groups(), st.integers(1, 4), samplers)
def test_the_samplers_are_exactly_unbiased(groups: list[list[Fraction]], n: int, sampler: str):
    pixels = [value for values in groups for value in values]
    assert enumerate_systematic(groups, n, sampler)[0] == Fraction(sum(pixels), len(pixels))


@repeatable
@given(pixel_groups())
def test_theorem_3_2_is_exact_where_shares_are_integers(groups: list[list[Fraction]]):
    sizes = [len(values) for values in groups]
    n = sum(sizes)  # one draw per pixel: n·w_m = N_m
    gap = lemma_3_1(groups, sizes, "ns") - lemma_3_1(groups, sizes, "sg")
    assert theorem_3_2_gap(groups, n) == gap >= 0
