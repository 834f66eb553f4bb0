"""What stratified sampling costs beside the torch calls it replaces, on one thread.

    python benchmarks/bench_sampling.py [--repeats 200]

Draws are compared with `torch.randint` of the same count, grouping with `mask.nonzero()`. All run
in turn in one process; what is printed are ratios of medians of the thread's CPU time, which other
programs on the machine disturb less than they do the clock on the wall.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from arco.sampling import draw, group

SHAPE = (8, 256, 256)
GRID = (4, 4)
QUERIES, NEGATIVES = 256, 512
COUNT = QUERIES * NEGATIVES
CANDIDATES = (300_000, 30_000, 3_000, 100)
TARGETS = {"sg": 5.0, "sag": 7.0}
GROUPING_TARGET = 4.0


def mask_of(candidates: int, generator: torch.Generator) -> Tensor:
    """[*SHAPE] bool with this many candidates scattered at random."""
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    order = torch.randperm(mask.numel(), generator=generator)
    mask.view(-1)[order[:candidates]] = True
    return mask


def medians(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU time of each function in milliseconds, all of them called in turn."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 3):
        for name, function in functions.items():
            start = time.thread_time()
            function()
            if repeat >= 3:  # the first ones fill caches
                times[name].append((time.thread_time() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def drawing(candidates: int, repeats: int) -> None:
    """Print how draws from prepared groups compare with torch.randint."""
    generator = torch.Generator().manual_seed(0)
    groups = group(mask_of(candidates, generator), GRID)
    functions: dict[str, Callable[[], object]] = {
        "randint": lambda: torch.randint(candidates, (COUNT,), generator=generator)
    }
    for sampler in ("ns", "sg", "sag"):
        functions[f"{sampler}, {QUERIES} rows"] = lambda s=sampler: draw(
            groups, NEGATIVES, s, None, generator, rows=QUERIES
        )
        functions[f"{sampler}, one row"] = lambda s=sampler: draw(groups, COUNT, s, None, generator)
    found = medians(functions, repeats)
    print(f"\n{COUNT:,} draws from {candidates:,} candidates; randint {found['randint']:.2f} ms")
    for name, value in list(found.items())[1:]:
        target = TARGETS.get(name.partition(",")[0])
        beside = "" if target is None else f" (target: at most {target:.0f})"
        print(f"  {name:14s} {value:6.2f} ms = {value / found['randint']:4.1f} x randint{beside}")


def grouping(repeats: int) -> None:
    """Print how grouping compares with listing the candidates."""
    mask = mask_of(CANDIDATES[0], torch.Generator().manual_seed(0))
    found = medians({"nonzero": mask.nonzero, "group": lambda: group(mask, GRID)}, repeats)
    ratio = found["group"] / found["nonzero"]
    print(
        f"grouping {'x'.join(map(str, SHAPE))}: {found['group']:.2f} ms = "
        f"{ratio:.1f} x mask.nonzero() (target: at most {GROUPING_TARGET:.0f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=200)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    grouping(repeats)
    for candidates in CANDIDATES:
        drawing(candidates, repeats)


if __name__ == "__main__":
    main()
