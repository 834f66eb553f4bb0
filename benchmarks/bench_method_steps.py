"""One training step of every method, as a ratio to the mean teacher's, beside what its passes cost.

Steps of all methods, and the single passes of networks that explain them (`network_passes.py`),
take turns in one process on one thread; the figures are medians of CPU time. PASSES says how many
images each method sends through which of them. The quotient of the measured and the explained ratio
is what is left for losses and updates; it shall not exceed 1.3. Methods that draw pixels have no
target: how many they draw does not depend on the size of the images, so that small ones tell
nothing; `bench_arco_step.py` has their bound.

    python benchmarks/bench_method_steps.py [--quick] [--axes 2] [--size 96] [--rounds 5]
        [--names mt ...]
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Sequence

from harness import Table, at_most, command_line, read, take_turns
from network_passes import passes
from paper_steps import QUICK_SIZES, Step, load_parameters, make_batch

from arco import registry
from arco.params import Parameters

TARGET = at_most(1.3)
WARM_UP = 2
SIZES = {2: 96, 3: 32}

# How often each labeled and each unlabeled image goes through each pass. A method without an entry
# is measured all the same.
PASSES: dict[str, dict[str, tuple[float, float]]] = {
    "supervised": {"trained": (1, 1)},
    "em": {"trained": (1, 1)},
    "cct": {"encoder": (1, 1), "decoder": (4, 4)},
    "dan": {"trained": (1, 1), "judged": (0, 1), "evaluated": (1, 1), "judging": (1, 1)},
    "urpc": {"trained": (1, 1)},
    "dtc": {"trained": (1, 1), "distances": (1, 0)},
    "dct": {"trained": (4, 4), "probed": (2, 2)},
    "dct_rot": {"trained": (1, 2)},
    "ict": {"trained": (1, 0.5), "teacher": (0, 1)},
    "mt": {"trained": (1, 1), "teacher": (0, 1)},
    "uamt": {"trained": (1, 1), "teacher": (0, 9)},
    "sassnet": {
        "trained": (1, 1),
        "distances": (1, 0),
        "judged": (0, 1),
        "evaluated": (1, 1),
        "judging": (1, 1),
    },
    "cps": {"trained": (2, 2)},
    "mcnet": {"encoder": (1, 1), "decoder": (1, 1), "second": (1, 1)},
    "ssnet": {"trained": (2, 2), "probed": (1, 1)},
    "action": {"trained": (1, 1), "teacher": (1, 1)},
    "arco": {"trained": (2, 2), "evaluated": (1, 1), "teacher": (1, 1)},
}
PASSES_OVER_VOLUMES = PASSES | {"arco": PASSES["action"]}  # without equivariance


def image_counts(name: str, axes: int, step: Step) -> dict[str, float]:
    """Images that a step of a method sends through each pass; empty without an entry in PASSES."""
    sizes, table = step.training.batch, {2: PASSES, 3: PASSES_OVER_VOLUMES}[axes]
    return {
        kind: labeled * sizes.labeled + unlabeled * sizes.unlabeled
        for kind, (labeled, unlabeled) in table.get(name, {}).items()
    }


def report(
    parameters: Parameters,
    axes: int,
    steps: dict[str, Step],
    seconds: dict[str, float],
    *,
    quick: bool,
) -> None:
    """Print what passes cost, what steps cost, and what of it is explained."""
    sizes = steps["mt"].training.batch
    images = dict.fromkeys(seconds, sizes.labeled + sizes.unlabeled)
    images["distances"] = sizes.labeled
    costs = {kind: seconds[kind] / images[kind] for kind in seconds if kind not in steps}
    listed = ", ".join(f"{kind} {1000 * cost:.3g}" for kind, cost in costs.items())
    print(f"milliseconds per image of a pass: {listed}")
    ratios = {name: seconds[name] / seconds["mt"] for name in steps}
    table = Table(f"steps in {axes}D, over the mean teacher's", quick=quick)
    for name, ratio in ratios.items():
        table.row(f"`{name}`", f"{seconds[name]:.3g} s", ratio)
    counts = {name: image_counts(name, axes, step) for name, step in steps.items()}
    explained = {
        name: sum(count * costs[kind] for kind, count in own.items())
        for name, own in counts.items()
    }
    table = Table("that ratio, over the one that the passes explain", quick=quick)
    for name, own in counts.items():
        if own:
            draws = "sampler" in parameters.learners[axes].methods[name].settings
            listed = ", ".join(f"{kind} {count:g}" for kind, count in own.items())
            quotient = ratios[name] / (explained[name] / explained["mt"])
            table.row(f"`{name}`", f"images: {listed}", quotient, None if draws else TARGET)


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line(__doc__)
    parser.add_argument("--axes", type=int, choices=[2, 3], default=2)
    parser.add_argument("--size", type=int, help="pixels per axis; 96 in 2D, 32 in 3D")
    parser.add_argument("--names", nargs="+", default=registry.names("methods"))
    options = read(parser, argv, rounds=5)
    parameters, axes = load_parameters(quick=options.quick), options.axes
    size = (options.size or SIZES[axes],) * axes
    if options.quick:
        size = QUICK_SIZES[axes]
    known = parameters.learners[axes].methods
    for name in options.names:
        if name not in known:
            print(f"{name} has no entry in params.yaml and is left out")
    names = [name for name in dict.fromkeys(("mt", *options.names)) if name in known]
    steps = {name: Step(parameters, name, axes, size) for name in names}
    batches = {name: make_batch(step.training, axes, size) for name, step in steps.items()}
    runs = passes(parameters, axes, batches["mt"])
    for name, step in steps.items():
        runs[name] = functools.partial(step, batches[name])
    times = take_turns(runs, options.rounds, WARM_UP)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    print(f"{axes}D, {' x '.join(map(str, size))}, {options.rounds} rounds; ", end="")
    report(parameters, axes, steps, seconds, quick=options.quick)


if __name__ == "__main__":
    main()
