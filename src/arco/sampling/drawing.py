"""The samplers: naive (NS), stratified group (SG), stratified-antithetic group (SAG)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from arco.fields import Sampler
from arco.sampling.allocation import ALLOCATIONS, uniform_below
from arco.sampling.grouping import Groups, group, look_up
from arco.sampling.reflection import REFLECTIONS


def _require(option: str, value: str, known: Iterable[str]) -> None:
    """Refuse a name that is not known, listing those that are."""
    if value not in known:
        raise ValueError(f"unknown {option} {value!r}; known: {', '.join(known)}")


@dataclass(frozen=True)
class Scheme:
    """What the paper leaves open about SG and SAG; the defaults are exactly unbiased on any mask.

    Attributes:
        allocation: how the draws are shared out among groups, see `arco.sampling.allocation`.
        reflection: the mirror of SAG, see `arco.sampling.reflection`.
        replacement: whether SG may draw a pixel twice. The variance of Lemma 3.1 is the one
            with replacement.
    """

    allocation: Literal["systematic", "largest_remainder", "equal_per_cell"] = "systematic"
    reflection: Literal["rank", "cell_mirror"] = "rank"
    replacement: bool = True

    def __post_init__(self) -> None:
        _require("allocation", self.allocation, ALLOCATIONS)
        _require("reflection", self.reflection, REFLECTIONS)


DEFAULT = Scheme()


def draw(
    mask: Tensor | Groups,
    n: int,
    sampler: Sampler,
    grid: Sequence[int] | None = None,
    generator: torch.Generator | None = None,
    *,
    rows: int | None = None,
    scheme: Scheme = DEFAULT,
) -> Tensor:
    """Indices of n candidate pixels in the flattened mask, int64 on its device: [n] or [rows, n].

    With the default scheme each candidate is drawn n/N times on average, possibly repeatedly, for
    every sampler and any n. The order of the indices of a row means nothing; SG and SAG list them
    by group.

    Args:
        mask: [B, *S] bool with two or three spatial axes, True marks a candidate; or what
            `group` made of it, which saves the sorting when drawing again from the same mask.
        n: draws per row.
        sampler: "ns" independent uniform draws; "sg" as many draws from each group as its share
            of the candidates; "sag" the same in pairs of mirrored pixels, plus one uniform draw
            where n is odd.
        grid: cells along each spatial axis; may be left out for prepared groups.
        generator: of random numbers, on the device of the mask; None is torch's default one.
        rows: number of independent draws of n, such as one per query.
        scheme: variants of SG and SAG.

    Raises:
        ValueError: n or rows is negative, the sampler is unknown, the mask has no candidate
            (though n is not 0), mask or grid are malformed or disagree with prepared groups,
            or draws without replacement are asked of SAG, NS, or a group with too few pixels.
    """
    _require("sampler", sampler, SAMPLERS)
    if n < 0 or (rows is not None and rows < 0):
        raise ValueError(f"n and rows must not be negative, got n={n}, rows={rows}")
    if not scheme.replacement and sampler != "sg":
        raise ValueError(f"only sampler 'sg' can draw without replacement, not {sampler!r}")
    groups = _grouped(mask, grid)
    if n > 0 and groups.total == 0:
        raise ValueError(f"cannot draw {n} pixels from a mask of {list(groups.shape)} without any")
    many = 1 if rows is None else rows
    indices = groups.candidates.new_empty(0, many)
    if n > 0:
        ranks = SAMPLERS[sampler](groups, n, many, generator, scheme)
        indices = look_up(groups.candidates, ranks)
    by_row = indices.T.to(torch.int64, memory_format=torch.contiguous_format)
    return by_row.squeeze(0) if rows is None else by_row


def _naive(
    groups: Groups, n: int, rows: int, generator: torch.Generator | None, _: Scheme
) -> Tensor:
    """NS: positions in `candidates`, each uniform over all of them; [n, rows]."""
    return uniform_below(groups.total, (n, rows), generator, groups.candidates)


def _stratified(
    groups: Groups, n: int, rows: int, generator: torch.Generator | None, scheme: Scheme
) -> Tensor:
    """SG: positions uniform within the group that each draw is allocated to; [n, rows]."""
    group_ids = ALLOCATIONS[scheme.allocation](groups, n, rows, generator)
    if not scheme.replacement:
        return _distinct(groups, group_ids, generator)
    return _uniform_within(groups, group_ids, generator)


def _antithetic(
    groups: Groups, n: int, rows: int, generator: torch.Generator | None, scheme: Scheme
) -> Tensor:
    """SAG: stratified positions, their mirrors, and for odd n a naive one; [n, rows]."""
    pairs, single = divmod(n, 2)
    leftover = _naive(groups, single, rows, generator, scheme)
    if pairs == 0:
        return leftover
    group_ids = ALLOCATIONS[scheme.allocation](groups, pairs, rows, generator)
    ranks = _uniform_within(groups, group_ids, generator)
    mirrored = REFLECTIONS[scheme.reflection](groups, group_ids, ranks, generator)
    return torch.cat((ranks, mirrored, leftover))


SAMPLERS: dict[str, Callable[[Groups, int, int, torch.Generator | None, Scheme], Tensor]] = {
    "ns": _naive,
    "sg": _stratified,
    "sag": _antithetic,
}


def _uniform_within(groups: Groups, group_ids: Tensor, generator: torch.Generator | None) -> Tensor:
    """One independent uniform position in `candidates` for each group id; same shape."""
    sizes = look_up(groups.sizes.double(), group_ids)
    offsets = uniform_below(sizes, sizes.shape, generator, sizes)
    return offsets.add_(look_up(groups.starts, group_ids))


def _distinct(groups: Groups, group_ids: Tensor, generator: torch.Generator | None) -> Tensor:
    """As `_uniform_within`, but no position twice in a row; memory O(rows·N)."""
    by_row = group_ids.T.contiguous()
    keys = torch.rand(
        (len(by_row), groups.total),
        dtype=torch.float64,
        device=by_row.device,
        generator=generator,
    )
    # Sorting by group + fraction shuffles each group in place; its first entries are then taken.
    shuffled = keys.add_(groups.group_of).argsort(dim=1)
    taken = torch.arange(by_row.shape[1], device=by_row.device)
    taken = taken - torch.searchsorted(by_row, by_row)  # draws from the same group so far
    if bool((taken >= look_up(groups.sizes, by_row)).any()):
        raise ValueError("more draws than candidates in a group; allow replacement or draw less")
    return shuffled.gather(1, look_up(groups.starts, by_row) + taken).T


def _grouped(mask: Tensor | Groups, grid: Sequence[int] | None) -> Groups:
    """The groups of a mask, or prepared ones if the grid does not contradict them."""
    if isinstance(mask, Groups):
        if grid is not None and tuple(grid) != mask.grid:
            raise ValueError(f"groups were made with grid {mask.grid}, not {tuple(grid)}")
        return mask
    if grid is None:
        raise ValueError("a mask needs a grid, such as (4, 4); only prepared groups do without")
    return group(mask, grid)
