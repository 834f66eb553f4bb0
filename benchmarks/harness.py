"""What every benchmark shares: its command line, runs that take turns, and the table it prints.

A benchmark is a file `bench_*.py` with a `main(argv)`. With `--quick` it takes tiny sizes and ends
within seconds, which the test suite does: that shows that it works, its numbers mean nothing. Loads
no torch, so that a process whose memory is measured holds nothing that it does not use.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

QUICK_ROUNDS = 1


@dataclass(frozen=True)
class Target:
    """A bound on a ratio, and on which side of it the ratio shall lie."""

    side: Literal["at most", "at least"]
    bound: float

    def met_by(self, ratio: float) -> bool:
        return ratio <= self.bound if self.side == "at most" else ratio >= self.bound


def at_most(bound: float) -> Target:
    return Target("at most", bound)


def at_least(bound: float) -> Target:
    return Target("at least", bound)


def command_line(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows `--quick`; `read` adds the rounds."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny sizes: shows within seconds that the script works, its numbers mean nothing",
    )
    return parser


def read(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, rounds: int
) -> argparse.Namespace:
    """The options, with `--rounds`: by default `rounds`, one with `--quick`."""
    parser.add_argument("--rounds", type=int, help=f"{rounds} by default")
    options = parser.parse_args(argv)
    if options.rounds is None:
        options.rounds = QUICK_ROUNDS if options.quick else rounds
    return options


def one_thread() -> None:
    """One thread, and freed memory kept for the next tensors: as in training."""
    import torch

    from arco.device import make_deterministic, reuse_memory

    make_deterministic(torch.device("cpu"), threads=1)
    reuse_memory()


def take_turns(
    runs: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """CPU seconds of each run in each round; they take turns, so that all meet the same machine.

    CPU time, because other jobs on the machine disturb it less than the clock on the wall.

    Args:
        runs: by name.
        rounds: that count.
        warm_up: rounds before them, in which caches and memory banks fill.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warm_up + rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn >= warm_up:
                times[name].append(time.process_time() - start)
    return times


def median_ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def milliseconds(seconds: Sequence[float]) -> str:
    """The median, to read."""
    return f"{1000 * statistics.median(seconds):.3g} ms"


def peak_megabytes() -> float:
    """Highest memory of this process so far, in MiB; Linux only.

    What `resource.getrusage` tells also counts the memory of the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


class Table:
    """Prints rows of a Markdown table: what, what was measured, a ratio, the ratio's target."""

    def __init__(self, title: str, *, quick: bool) -> None:
        self.quick = quick
        warning = " (quick: these numbers mean nothing)" if quick else ""
        print(f"\n{title}{warning}\n\n| what | measured | ratio | target |\n|---|---|---:|---|")

    def row(self, what: str, measured: str, ratio: float, target: Target | None = None) -> None:
        bound = f"{target.side} {target.bound:g}" if target else "–"
        if target and not self.quick and not target.met_by(ratio):
            bound += ", missed"
        print(f"| {what} | {measured} | {ratio:.3g} | {bound} |", flush=True)


def ignore_progress(done: int, total: int) -> None:
    """A report of progress that nobody reads."""
