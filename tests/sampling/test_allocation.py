from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from arco.sampling import Groups, group
from arco.sampling.allocation import (
    equal_per_cell,
    equally_spaced,
    largest_remainder,
    systematic,
    uniform_below,
)


def groups_of_sizes(*sizes: int) -> Groups:
    """One row of pixels per group, the first N_m of them candidates."""
    mask = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
    return group(mask[None], (len(sizes), 1))


def counts(group_ids: Tensor, groups: Groups) -> list[list[int]]:
    """n_m of each row."""
    return [row.bincount(minlength=len(groups.sizes)).tolist() for row in group_ids.T]


def every_systematic_count(groups: Groups, n: int) -> list[list[int]]:
    """n_m for V = 0 ... N - 1 in this order."""
    offsets = groups.total - 1 - torch.arange(groups.total)
    return counts(groups.group_of[equally_spaced(groups.total, n, offsets).long()], groups)


def test_systematic_allocation_of_six_draws_to_five_groups():
    # Shares 0.18, 0, 3, 0.42, 2.4 of 6 draws.
    found = every_systematic_count(groups_of_sizes(3, 0, 50, 7, 40), 6)
    assert found[30] == [0, 0, 3, 0, 3]
    assert found[90] == [1, 0, 3, 0, 2]
    assert torch.tensor(found).sum(0).tolist() == [18, 0, 300, 42, 240]


@pytest.mark.parametrize("n", [1, 2, 7, 50, 101, 1000])
def test_systematic_counts_follow_the_floors_of_cumulative_shares(n: int):
    groups = groups_of_sizes(3, 0, 50, 7, 40)
    ends = [0, 3, 3, 53, 60, 100]
    for v, found in enumerate(every_systematic_count(groups, n)):
        cumulative = [(n * end + v) // 100 for end in ends]
        assert found == [b - a for a, b in itertools.pairwise(cumulative)]


@pytest.mark.parametrize(
    ("total", "n"),
    [(1, 5), (7, 1), (17, 17), (3, 1000), (1_000_003, 977), (300_000, 131_072), (2**31 - 1, 4096)],
)
def test_equally_spaced_points_equal_integer_division(total: int, n: int):
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randint(total, (20,), generator=generator)
    offsets[0], offsets[1] = 0, total - 1
    expected = (torch.arange(n)[:, None] * total + offsets) // n
    assert torch.equal(equally_spaced(total, n, offsets).long(), expected)


def test_systematic_allocation_spends_exactly_n_draws_in_every_row():
    groups = groups_of_sizes(3, 0, 50, 7, 40)
    generator = torch.Generator().manual_seed(1)
    group_ids = systematic(groups, 11, 500, generator)
    found = torch.tensor(counts(group_ids, groups))
    assert found.sum(1).tolist() == [11] * 500
    assert ((found - 11 * groups.sizes / 100).abs() < 1).all()
    assert len(found.unique(dim=0)) > 1  # each row has its own offset


def test_integer_shares_are_met_whatever_the_offset():
    found = every_systematic_count(groups_of_sizes(4, 4, 4, 4), 8)
    assert found == [[2, 2, 2, 2]] * 16


def test_largest_remainder_never_sees_a_group_of_small_share():
    groups = groups_of_sizes(3, 0, 50, 7, 40)
    found = counts(largest_remainder(groups, 6, 3, None), groups)
    assert found == [[0, 0, 3, 1, 2]] * 3


def test_largest_remainder_gives_ties_to_the_lower_group():
    groups = groups_of_sizes(5, 5, 5, 5)
    assert counts(largest_remainder(groups, 6, 1, None), groups) == [[2, 2, 1, 1]]


def test_equal_per_cell_ignores_sizes_and_skips_empty_groups():
    groups = groups_of_sizes(3, 0, 50, 7, 40)
    generator = torch.Generator().manual_seed(1)
    assert counts(equal_per_cell(groups, 8, 2, generator), groups) == [[2, 0, 2, 2, 2]] * 2
    found = torch.tensor(counts(equal_per_cell(groups, 2, 4000, generator), groups)).double()
    assert found.mean(0)[[0, 2, 3, 4]].tolist() == pytest.approx([0.5] * 4, abs=5 * 0.5 / 4000**0.5)


def test_uniform_integers_reach_both_ends_and_nothing_else():
    generator = torch.Generator().manual_seed(2)
    bounds = torch.tensor([1, 2, 5]).expand(3000, 3)
    found = uniform_below(bounds, (3000, 3), generator, bounds)
    assert found.amin(0).tolist() == [0, 0, 0]
    assert found.amax(0).tolist() == [0, 1, 4]


def test_uniform_integers_have_more_bits_than_a_float32():
    bound = 2**30
    found = uniform_below(bound, (4000,), torch.Generator().manual_seed(2), torch.empty(0))
    # A float32 of 24 bits would make every one a multiple of 2^6.
    assert len((found % 64).unique()) == 64
