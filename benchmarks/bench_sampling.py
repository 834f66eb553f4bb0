"""What stratified sampling costs beside the torch calls it replaces, on one thread.

    python benchmarks/bench_sampling.py [--quick] [--rounds 200]

Draws are compared with `torch.randint` of the same count, grouping with `mask.nonzero()`. All take
turns in one process; ratios are medians of those within a round, in CPU time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from harness import (
    Table,
    at_most,
    command_line,
    median_ratio,
    milliseconds,
    one_thread,
    read,
    take_turns,
)
from torch import Tensor

from arco.sampling import draw, group

GRID = (4, 4)
DRAW_TARGETS = {"sg": at_most(5), "sag": at_most(7)}
GROUPING_TARGET = at_most(4)


@dataclass(frozen=True)
class Sizes:
    """Of the masks [B, H, W], their candidates, and the draws."""

    shape: tuple[int, int, int]
    candidates: tuple[int, ...]
    queries: int
    negatives: int


FULL = Sizes((8, 256, 256), (300_000, 30_000, 3_000, 100), 256, 512)
QUICK = Sizes((2, 32, 32), (300, 20), 4, 8)


def mask_of(shape: tuple[int, ...], candidates: int, generator: torch.Generator) -> Tensor:
    """[*shape] bool with this many candidates scattered at random."""
    mask = torch.zeros(shape, dtype=torch.bool)
    order = torch.randperm(mask.numel(), generator=generator)
    mask.view(-1)[order[:candidates]] = True
    return mask


def compare_draws(sizes: Sizes, candidates: int, rounds: int, *, quick: bool) -> None:
    """Print how draws from prepared groups compare with torch.randint."""
    generator = torch.Generator().manual_seed(0)
    groups = group(mask_of(sizes.shape, candidates, generator), GRID)
    count = sizes.queries * sizes.negatives
    runs: dict[str, Callable[[], object]] = {
        "randint": lambda: torch.randint(candidates, (count,), generator=generator)
    }
    for sampler in ("ns", "sg", "sag"):
        runs[f"{sampler}, {sizes.queries} rows"] = lambda s=sampler: draw(
            groups, sizes.negatives, s, None, generator, rows=sizes.queries
        )
        runs[f"{sampler}, one row"] = lambda s=sampler: draw(groups, count, s, None, generator)
    times = take_turns(runs, rounds, warm_up=3)
    table = Table(
        f"{count:,} draws from {candidates:,} candidates, over torch.randint", quick=quick
    )
    for name, seconds in times.items():
        ratio = median_ratio(seconds, times["randint"])
        table.row(name, milliseconds(seconds), ratio, DRAW_TARGETS.get(name.partition(",")[0]))


def compare_grouping(sizes: Sizes, rounds: int, *, quick: bool) -> None:
    """Print how grouping compares with listing the candidates."""
    mask = mask_of(sizes.shape, sizes.candidates[0], torch.Generator().manual_seed(0))
    runs = {"nonzero": mask.nonzero, "group": lambda: group(mask, GRID)}
    times = take_turns(runs, rounds, warm_up=3)
    shape = " x ".join(map(str, sizes.shape))
    table = Table(f"grouping a mask of {shape}, over mask.nonzero()", quick=quick)
    ratio = median_ratio(times["group"], times["nonzero"])
    table.row("group", milliseconds(times["group"]), ratio, GROUPING_TARGET)


def main(argv: Sequence[str] | None = None) -> None:
    options = read(command_line(__doc__), argv, rounds=200)
    sizes = QUICK if options.quick else FULL
    one_thread()
    compare_grouping(sizes, options.rounds, quick=options.quick)
    for candidates in sizes.candidates:
        compare_draws(sizes, candidates, options.rounds, quick=options.quick)


if __name__ == "__main__":
    main()
