"""Time and memory of ARCO's fine-tuning step against the method `mt`, a plain mean teacher.

Same network, batch (4 + 4 images of 256 x 256) and optimizer, all from params.yaml at paper scale;
every pixel is valid and hard, so that the masks are as large as they can be. The core of the step
(contrast, pseudo labels, neighbors; one pass of each network, as `mt`) has bounds of its own. The
strong view and the equivariance are priced by what they add to it:

    strong view     no pass of a network: the step with it over the step without it
    equivariance    what it adds, over the passes it needs: one trained, one without gradient

Steps and passes take turns on one thread; ratios are medians of those within a round, in CPU time,
so that other jobs on the machine do not count. Peak memory is that of a process of its own, less
what the imports take.

    python benchmarks/bench_arco_step.py [--quick] [--rounds 7] [--sampler sg]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import (
    Table,
    Target,
    at_most,
    command_line,
    median_ratio,
    peak_megabytes,
    read,
    take_turns,
)
from network_passes import passes
from paper_steps import FULL_SIZES, QUICK_SIZES, Step, load_parameters, make_batch

from arco.params import Parameters

WARM_UP = 2
WHOLE_MASKS = {"weak_threshold": 0.0, "strong_threshold": 1.0}
MEMORY_TARGET = at_most(1.1)
PASSES_TARGET = at_most(1.3)  # as of every method in bench_method_steps.py


# How params.yaml says which parts of the step are on: a method and what is changed in its settings.
# Nothing below knows it.
CORE: tuple[str, dict[str, Any]] = ("arco", {"strong": None, "equivariance_weight": 0.0})
STRONG_VIEW: tuple[str, dict[str, Any]] = ("arco", {"equivariance_weight": 0.0})
EQUIVARIANCE: tuple[str, dict[str, Any]] = ("arco", {})


@dataclass(frozen=True)
class Variant:
    """A method with changed settings; the targets of its time and memory over `mt`."""

    method: str
    changes: Mapping[str, Any]
    time: Target | None = None
    memory: Target | None = None


def variant(part: tuple[str, dict[str, Any]], draws: str, *targets: Target) -> Variant:
    method, changes = part
    return Variant(method, {**changes, **WHOLE_MASKS, "negative_draws": draws}, *targets)


VARIANTS = {
    "mt": Variant("mt", {}),
    "core, shared": variant(CORE, "shared", at_most(1.15), MEMORY_TARGET),
    "core, per_query": variant(CORE, "per_query", at_most(1.3), MEMORY_TARGET),
    "with strong view": variant(STRONG_VIEW, "shared"),
    "with strong view and equivariance": variant(EQUIVARIANCE, "shared"),
}
MT, SHARED, _, STRONG, EQUIVARIANT = VARIANTS


def build(parameters: Parameters, name: str, options: argparse.Namespace) -> Step:
    """The step of one of VARIANTS."""
    method, changes = VARIANTS[name].method, dict(VARIANTS[name].changes)
    if name != MT:
        changes["sampler"] = options.sampler
    return Step(parameters, method, 2, size_of(options), changes=changes)


def size_of(options: argparse.Namespace) -> tuple[int, ...]:
    return (QUICK_SIZES if options.quick else FULL_SIZES)[2]


def compare_times(parameters: Parameters, options: argparse.Namespace) -> None:
    parts: dict[str, list[dict[str, float]]] = defaultdict(list)
    runs: dict[str, Callable[[], object]] = {}
    for name in VARIANTS:
        step = build(parameters, name, options)
        batch = make_batch(step.training, 2, size_of(options))
        runs[name] = lambda n=name, s=step, b=batch: parts[n].append(s(b))
        if name == MT:
            single = passes(parameters, 2, batch)
            runs |= {kind: single[kind] for kind in ("trained", "teacher")}
    times = take_turns(runs, options.rounds, WARM_UP)
    size = " x ".join(map(str, size_of(options)))
    table = Table(f"steps of 4 + 4 images of {size}, over a mean teacher's", quick=options.quick)
    for name, made in VARIANTS.items():
        shown = ", ".join(
            f"{part} {statistics.median(record[part] for record in parts[name][WARM_UP:]):.3g}"
            for part in parts[name][0]
        )
        measured = f"{statistics.median(times[name]):.3g} s ({shown})"
        table.row(name, measured, median_ratio(times[name], times[MT]), made.time)
    price(times, quick=options.quick)


def price(times: Mapping[str, list[float]], *, quick: bool) -> None:
    """Print what strong view and equivariance add."""
    table = Table("what is added to the core, over what explains it", quick=quick)
    added = [b - a for a, b in zip(times[SHARED], times[STRONG], strict=True)]
    measured = f"{statistics.median(added):.3g} s more"
    table.row("strong view, no pass", measured, median_ratio(times[STRONG], times[SHARED]))
    added = [b - a for a, b in zip(times[STRONG], times[EQUIVARIANT], strict=True)]
    explained = [a + b for a, b in zip(times["trained"], times["teacher"], strict=True)]
    measured = f"{statistics.median(added):.3g} s more"
    table.row("equivariance, two passes", measured, median_ratio(added, explained), PASSES_TARGET)


def measure_memory(parameters: Parameters, options: argparse.Namespace) -> None:
    before = peak_megabytes()
    step = build(parameters, options.memory_of, options)
    batch = make_batch(step.training, 2, size_of(options))
    for _ in range(3):
        step(batch)
    print(peak_megabytes() - before)


def compare_memory(options: argparse.Namespace) -> None:
    table = Table("peak memory, over a mean teacher's", quick=options.quick)
    peaks = {}
    for name in [MT, EQUIVARIANT] if options.quick else VARIANTS:
        command = [sys.executable, __file__, "--memory-of", name, "--sampler", options.sampler]
        command += ["--quick"] if options.quick else []
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        peaks[name] = float(answer.stdout)
        ratio = peaks[name] / peaks[MT]
        table.row(name, f"{peaks[name]:.0f} MB", ratio, VARIANTS[name].memory)


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line(__doc__)
    parser.add_argument("--sampler", choices=["ns", "sg", "sag"], default="sg")
    parser.add_argument("--memory-of", choices=list(VARIANTS), help=argparse.SUPPRESS)
    options = read(parser, argv, rounds=7)
    parameters = load_parameters(quick=options.quick)
    if options.memory_of:
        measure_memory(parameters, options)
    else:
        compare_memory(options)
        compare_times(parameters, options)


if __name__ == "__main__":
    main()
