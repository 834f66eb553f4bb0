"""Time and memory of ARCO's fine-tuning step against the method `mt`, a plain mean teacher.

Same network, batch (4 + 4 images of 256 x 256) and optimizer, all from params.yaml at paper scale;
every pixel is valid and hard, so that the masks are as large as they can be. Steps of one thread
are interleaved; the figures are medians of ratios within a round, in CPU time, so that other jobs
on the machine do not count. Peak memory is that of a process of its own, less what the imports
take.

    python benchmarks/bench_arco_step.py [--rounds 7] [--sampler sg]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
from collections import defaultdict

from paper_steps import FULL_SIZES, Step, load_parameters, make_batch

from arco.params import Parameters

WHOLE_MASKS = {"weak_threshold": 0.0, "strong_threshold": 1.0}
TARGETS = {"mt": 1.0, "shared": 1.3, "per_query": 1.5}
MEMORY_TARGET = 1.5
SIZE = FULL_SIZES[2]


def build(parameters: Parameters, mode: str, sampler: str) -> Step:
    """`mt`, or ARCO with this kind of negative draws."""
    if mode == "mt":
        return Step(parameters, "mt", 2, SIZE)
    changes = {"sampler": sampler, "negative_draws": mode, **WHOLE_MASKS}
    return Step(parameters, "arco", 2, SIZE, changes=changes)


def compare_times(parameters: Parameters, rounds: int, sampler: str) -> None:
    steps = {mode: build(parameters, mode, sampler) for mode in TARGETS}
    batches = {mode: make_batch(step.training, 2, SIZE) for mode, step in steps.items()}
    records: dict[str, list[dict[str, float]]] = defaultdict(list)
    for turn in range(rounds + 2):
        for mode, step in steps.items():
            record = step(batches[mode])
            if turn > 1:  # until then, caches and the neighbor bank fill
                records[mode].append(record)
    totals = {mode: [sum(record.values()) for record in records[mode]] for mode in records}
    for mode, target in TARGETS.items():
        ratio = statistics.median(a / b for a, b in zip(totals[mode], totals["mt"], strict=True))
        parts = ", ".join(
            f"{name} {statistics.median(record[name] for record in records[mode]):.2f}"
            for name in records[mode][0]
        )
        seconds = statistics.median(totals[mode])
        print(f"{mode:10s} {seconds:6.2f} s ({parts}), ratio {ratio:.2f} (target {target})")


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(parameters: Parameters, mode: str, sampler: str) -> None:
    before = peak_megabytes()
    step = build(parameters, mode, sampler)
    batch = make_batch(step.training, 2, SIZE)
    for _ in range(3):
        step(batch)
    print(peak_megabytes() - before)


def compare_memory(sampler: str) -> None:
    peaks = {}
    for mode in TARGETS:
        command = [sys.executable, __file__, "--memory-of", mode, "--sampler", sampler]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        peaks[mode] = float(answer.stdout)
        ratio = peaks[mode] / peaks["mt"]
        print(f"{mode:10s} {peaks[mode]:6.0f} MB, ratio {ratio:.2f} (target {MEMORY_TARGET})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sampler", choices=["ns", "sg", "sag"], default="sg")
    parser.add_argument("--memory-of", choices=list(TARGETS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    parameters = load_parameters()
    if options.memory_of:
        measure_memory(parameters, options.memory_of, options.sampler)
    else:
        # Memory first, while this process is small: a child's peak counts what its parent held.
        compare_memory(options.sampler)
        compare_times(parameters, options.rounds, options.sampler)


if __name__ == "__main__":
    main()
