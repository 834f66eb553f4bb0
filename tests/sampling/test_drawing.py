from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from arco.fields import Sampler
from arco.sampling import Groups, Scheme, draw, group

SAMPLERS = get_args(Sampler)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def irregular_mask(*shape: int, share: float = 0.4) -> Tensor:
    return torch.rand(shape, generator=seeded(3)) < share


def pixel_counts(indices: Tensor, groups: Groups) -> Tensor:
    """[rows, N] float64: how often each candidate was drawn in each row."""
    rows = len(indices)
    pixels = torch.tensor(groups.shape).prod()
    shifted = indices + torch.arange(rows)[:, None] * pixels
    counts = shifted.flatten().bincount(minlength=int(rows * pixels)).view(rows, -1)
    assert int(counts[:, groups.candidates].sum()) == indices.numel()
    return counts[:, groups.candidates].double()


def group_counts(indices: Tensor, groups: Groups) -> Tensor:
    """[rows, M] float64: n_m of each row."""
    counts = torch.zeros(len(indices), len(groups.sizes), dtype=torch.float64)
    return counts.index_add_(1, groups.group_of, pixel_counts(indices, groups))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("n", [0, 1, 2, 7, 300])
def test_a_draw_is_n_indices_of_candidates(sampler: Sampler, n: int):
    mask = irregular_mask(2, 9, 7)
    for indices, shape in (
        (draw(mask, n, sampler, (3, 2), seeded()), (n,)),
        (draw(mask, n, sampler, (3, 2), seeded(), rows=5), (5, n)),
    ):
        assert indices.dtype == torch.int64
        assert tuple(indices.shape) == shape
        assert bool(mask.flatten()[indices].all())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_prepared_groups_draw_what_their_mask_draws(sampler: Sampler):
    mask = irregular_mask(2, 6, 5, 8)
    groups = group(mask, (2, 2, 3))
    expected = draw(mask, 33, sampler, (2, 2, 3), seeded())
    assert torch.equal(draw(groups, 33, sampler, None, seeded()), expected)
    assert torch.equal(draw(groups, 33, sampler, (2, 2, 3), seeded()), expected)
    assert not torch.equal(draw(groups, 33, sampler, None, seeded(1)), expected)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_given_generator_leaves_the_global_one_alone(sampler: Sampler):
    mask = irregular_mask(2, 9, 7)
    before = torch.get_rng_state()
    for reflection in ("rank", "cell_mirror"):
        scheme = Scheme(reflection=reflection)
        draw(mask, 7, sampler, (3, 2), seeded(), rows=3, scheme=scheme)
    draw(mask, 7, "sg", (3, 2), seeded(), scheme=Scheme(replacement=False))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_one_decides():
    mask = irregular_mask(2, 9, 7)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        first = draw(mask, 50, "sag", (3, 2))
        torch.manual_seed(11)
        assert torch.equal(draw(mask, 50, "sag", (3, 2)), first)
        assert not torch.equal(draw(mask, 50, "sag", (3, 2)), first)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 16, 257])
@pytest.mark.parametrize(
    ("shape", "grid"),
    [
        ((1, 7, 9), (3, 2)),
        ((3, 5, 7), (2, 3)),
        ((1, 4, 5, 6), (2, 1, 3)),
        ((3, 3, 4, 5), (2, 2, 2)),
    ],
)
def test_every_candidate_is_drawn_n_over_N_times_on_average(
    sampler: Sampler, n: int, shape: tuple[int, ...], grid: tuple[int, ...]
):
    groups = group(irregular_mask(*shape), grid)
    rows = 4000
    counts = pixel_counts(draw(groups, n, sampler, None, seeded(n), rows=rows), groups)
    errors = (counts.mean(0) - n / groups.total).abs()
    standard_errors = counts.std(0) / rows**0.5
    assert (errors <= 5 * standard_errors + 1e-12).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_frequencies_pass_a_chi_square_test_with_fewer_draws_than_groups(sampler: Sampler):
    mask = irregular_mask(2, 12, 10, share=0.3)
    groups = group(mask, (6, 5))
    rows = 20_000
    counts = pixel_counts(draw(groups, 5, sampler, None, seeded(), rows=rows), groups).sum(0)
    expected = 5 * rows / groups.total
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    # A stratified count varies no more than a naive one, a pair's up to twice as much.
    assert (
        chi_square < (2 if sampler == "sag" else 1) * groups.total + 5 * (2 * groups.total) ** 0.5
    )


def test_stratified_counts_stay_within_one_of_their_share():
    groups = group(irregular_mask(3, 11, 8), (3, 3))
    counts = group_counts(draw(groups, 50, "sg", None, seeded(), rows=200), groups)
    assert ((counts - 50 * groups.sizes / groups.total).abs() < 1).all()


def test_antithetic_pairs_stay_within_one_of_their_share():
    groups = group(irregular_mask(3, 11, 8), (3, 3))
    counts = group_counts(draw(groups, 50, "sag", None, seeded(), rows=200), groups)
    assert (counts % 2 == 0).all()
    assert ((counts / 2 - 25 * groups.sizes / groups.total).abs() < 1).all()


def test_antithetic_draws_are_invariant_under_reversing_every_group():
    groups = group(irregular_mask(3, 11, 8), (3, 3))
    indices = draw(groups, 400, "sag", None, seeded())
    lists = groups.candidates.long().split(groups.sizes.tolist())
    reversal = torch.full((groups.shape[0] * 88,), -1)
    for part in lists:
        reversal[part] = part.flip(0)
    assert torch.equal(reversal[indices].sort().values, indices.sort().values)


def test_an_odd_antithetic_draw_ends_in_one_single_pixel():
    groups = group(torch.ones(1, 4, 6, dtype=torch.bool), (2, 3))
    counts = group_counts(draw(groups, 13, "sag", None, seeded(), rows=50), groups)
    assert (counts % 2).sum(1).tolist() == [1] * 50


def test_rows_are_independent_and_each_has_its_own_offset():
    # Three draws over halves: one half gets two of them, either with probability 1/2.
    groups = group(torch.ones(1, 2, 8, dtype=torch.bool), (1, 2))
    rows = 4000
    surplus = group_counts(draw(groups, 3, "sg", None, seeded(), rows=rows), groups)[:, 0] - 1.5
    assert abs(float(surplus.mean())) < 5 * 0.5 / rows**0.5
    assert abs(float((surplus[1:] * surplus[:-1]).mean())) < 5 * 0.25 / rows**0.5


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_single_candidate_is_drawn_every_time(sampler: Sampler):
    mask = torch.zeros(2, 5, 4, 3, dtype=torch.bool)
    mask[1, 2, 3, 0] = True
    assert draw(mask, 9, sampler, (2, 2, 2), seeded()).tolist() == [60 + 2 * 12 + 3 * 3] * 9


def test_with_one_group_stratified_is_naive_and_antithetic_is_not():
    groups = group(torch.ones(1, 3, 3, dtype=torch.bool), (1, 1))
    rows = 20_000
    for sampler, paired in (("sg", 1 / 9), ("sag", 1.0)):
        indices = draw(groups, 2, sampler, None, seeded(), rows=rows)
        share = float((indices.sum(1) == 8).double().mean())
        assert share == pytest.approx(paired, abs=5 * (paired * (1 - paired) / rows) ** 0.5)


def test_when_every_pixel_is_its_own_cell_no_count_differs_by_more_than_one():
    groups = group(torch.ones(1, 5, 4, dtype=torch.bool), (5, 4))
    counts = pixel_counts(draw(groups, 30, "sg", None, seeded(), rows=100), groups)
    assert counts.unique().tolist() == [1, 2]


def test_without_replacement_no_pixel_is_drawn_twice():
    groups = group(irregular_mask(2, 9, 7), (3, 2))
    scheme = Scheme(replacement=False)
    for n in (1, 20, groups.total):
        counts = pixel_counts(
            draw(groups, n, "sg", None, seeded(), rows=400, scheme=scheme), groups
        )
        assert counts.max() == 1
        errors = (counts.mean(0) - n / groups.total).abs()
        assert (errors <= 5 * counts.std(0) / 400**0.5 + 1e-12).all()


def test_without_replacement_every_subset_of_a_group_is_equally_likely():
    groups = group(torch.ones(1, 2, 2, dtype=torch.bool), (1, 1))
    rows = 12_000
    indices = draw(groups, 2, "sg", None, seeded(), rows=rows, scheme=Scheme(replacement=False))
    subsets = (2**indices).sum(1).bincount(minlength=16)[[3, 5, 6, 9, 10, 12]] / rows
    assert subsets.tolist() == pytest.approx([1 / 6] * 6, abs=5 * (5 / 36 / rows) ** 0.5)


@pytest.mark.parametrize("allocation", ["systematic", "largest_remainder", "equal_per_cell"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_allocation_draws_candidates_only(allocation: str, sampler: Sampler):
    mask = irregular_mask(2, 9, 7)
    scheme = Scheme(allocation=allocation)
    indices = draw(mask, 31, sampler, (3, 2), seeded(), rows=4, scheme=scheme)
    assert tuple(indices.shape) == (4, 31)
    assert bool(mask.flatten()[indices].all())


def test_mistakes_are_refused_and_the_message_says_what_is_known():
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    empty = torch.zeros_like(mask)
    with pytest.raises(ValueError, match="unknown sampler 'abc'; known: ns, sg, sag"):
        draw(mask, 1, "abc", (2, 2))
    with pytest.raises(ValueError, match="unknown allocation 'x'; known: systematic, largest"):
        Scheme(allocation="x")
    with pytest.raises(ValueError, match="unknown reflection 'x'; known: rank, cell_mirror"):
        Scheme(reflection="x")
    with pytest.raises(ValueError, match="n=-1"):
        draw(mask, -1, "ns", (2, 2))
    with pytest.raises(ValueError, match="rows=-2"):
        draw(mask, 1, "ns", (2, 2), rows=-2)
    with pytest.raises(ValueError, match="each of the 2 spatial axes"):
        draw(mask, 1, "sg", (2, 2, 2))
    with pytest.raises(ValueError, match="a mask needs a grid"):
        draw(mask, 1, "sg")
    with pytest.raises(ValueError, match=r"made with grid \(2, 2\), not \(1, 2\)"):
        draw(group(mask, (2, 2)), 1, "sg", (1, 2))
    with pytest.raises(ValueError, match="only sampler 'sg' can draw without replacement"):
        draw(mask, 2, "sag", (2, 2), scheme=Scheme(replacement=False))
    with pytest.raises(ValueError, match="more draws than candidates in a group"):
        draw(mask, 17, "sg", (2, 2), scheme=Scheme(replacement=False))
    with pytest.raises(ValueError, match="cannot draw 3 pixels"):
        draw(empty, 3, "sg", (2, 2))
    assert draw(empty, 0, "sag", (2, 2), rows=2).shape == (2, 0)
