"""How many draws each group gets: the group of every draw, for many rows at once.

Everything is laid out [n, rows], draw by draw: the same draw of all rows falls into neighboring
groups, so tables are read in order and stay in the processor's cache (twice as fast in all).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from arco.sampling.grouping import Groups, look_up


def uniform_below(
    bound: Tensor | int, shape: tuple[int, ...], generator: torch.Generator | None, like: Tensor
) -> Tensor:
    """Independent uniform integers in {0, ..., bound - 1}; [*shape] int32 on the device of `like`.

    floor(u·bound) with u of 53 bits, so no value is preferred by more than bound / 2^53 (1e-9 for
    ten million pixels) and the bound itself cannot be reached. A float32 u has 24 bits, and
    `torch.randint` takes the remainder of 32: both prefer some voxels of a volume measurably.

    Args:
        bound: positive, one for all numbers or one for each ([*shape], fastest as float64).
        shape: of the result.
        generator: of random numbers; None is torch's default one.
        like: a tensor on the device wanted.
    """
    uniform = torch.rand(shape, dtype=torch.float64, device=like.device, generator=generator)
    return uniform.mul_(bound).int()


def equally_spaced(total: int, n: int, offset: Tensor) -> Tensor:
    """Positions floor((j·total + offset) / n), j = 0 ... n-1, of n points on a list of `total`.

    With an offset uniform on {0, ..., total - 1} each position gets n/total points on average.

    Args:
        total: length of the list.
        n: positive number of points.
        offset: [rows] integers in {0, ..., total - 1}, one per set of points.

    Returns:
        [n, rows] int32, never decreasing down a column.
    """
    # The half keeps every sum at least 1/(2n) away from an integer, so rounding in float64 cannot
    # change its floor while n·total < 2^50; this costs a fifth of [n, rows] integer divisions.
    steps = torch.arange(n, dtype=torch.float64, device=offset.device).mul_(total).div_(n)
    return (steps[:, None] + offset.double().add_(0.5).div_(n)).int()


def systematic(groups: Groups, n: int, rows: int, generator: torch.Generator | None) -> Tensor:
    """Proportional allocation with unbiased rounding: [n, rows] int32, never decreasing.

    n equally spaced points with one random offset lie on the list of candidates, and a draw
    belongs to the group its point falls into. With S_m = N_1 + ... + N_m and V = N - 1 - offset,
    group m gets floor((n·S_m + V)/N) - floor((n·S_{m-1} + V)/N) draws: the counts sum to n,
    differ from n·N_m/N by less than one, and equal it in expectation, exactly.

    The appendix ignores rounding (footnote 6).
    """
    offset = uniform_below(groups.total, (rows,), generator, groups.candidates)
    return look_up(groups.group_of, equally_spaced(groups.total, n, offset))


def largest_remainder(
    groups: Groups,
    n: int,
    rows: int,
    generator: torch.Generator | None,  # noqa: ARG001 - nothing here is random
) -> Tensor:
    """Proportional allocation, leftovers to the largest fractions: [n, rows] int32.

    Ties go to the lower group. The same groups are rounded down at every draw, so this one is
    biased unless all n·N_m/N are integers; meant for n far above the number of groups.
    """
    shares = groups.sizes.long() * n
    counts = shares.div(groups.total, rounding_mode="floor")
    by_fraction = shares.remainder(groups.total).argsort(descending=True, stable=True)
    counts[by_fraction[: n - int(counts.sum())]] += 1
    numbers = torch.arange(len(counts), dtype=torch.int32, device=counts.device)
    return numbers.repeat_interleave(counts, output_size=n)[:, None].expand(n, rows)


def equal_per_cell(groups: Groups, n: int, rows: int, generator: torch.Generator | None) -> Tensor:
    """The same number for each group that has candidates, whatever its size: [n, rows] int32.

    The display formula of Sec. 3.3, a mean over groups with equal weights, estimates the mean
    over candidates only where groups are equally large. Rounded as in `systematic`.
    """
    occupied = groups.sizes.nonzero().squeeze(1).int()
    offset = uniform_below(len(occupied), (rows,), generator, occupied)
    return look_up(occupied, equally_spaced(len(occupied), n, offset))


ALLOCATIONS: dict[str, Callable[[Groups, int, int, torch.Generator | None], Tensor]] = {
    "systematic": systematic,
    "largest_remainder": largest_remainder,
    "equal_per_cell": equal_per_cell,
}
