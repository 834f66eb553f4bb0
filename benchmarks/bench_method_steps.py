"""One training step of every method, as a ratio to the mean teacher's, beside what its passes cost.

Steps of all methods, and the single passes of networks that explain them, take turns in one process
on one thread; the figures are medians of CPU time. A pass is measured on a plain network, in the
form in which the method needs it:

    trained      forward, backward to the weights          probed    forward, backward to images
    teacher      forward of an average teacher             evaluated forward in evaluation mode
    encoder, decoder    halves of `trained`                second    MC-Net's other decoder
    judged       discriminator, backward to the maps       distances signed distance maps
    judging      discriminator, backward to its weights

PASSES says how many images each method sends through which of them. The quotient of the measured
and the explained ratio is what is left for losses and updates; it shall not exceed 1.3. Methods
that draw pixels are measured without a verdict: how many they draw does not depend on the size of
the images, so that small ones tell nothing; `bench_arco_step.py` has their bound.

    python benchmarks/bench_method_steps.py [--axes 2] [--size 96] [--rounds 5] [--names mt ...]
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from paper_steps import CLASSES, Step, load_parameters, make_batch, new_network
from torch import Tensor

from arco import registry
from arco.contracts import Batch
from arco.losses.signed_distance import signed_distances
from arco.models.discriminator import Discriminator, in_evaluation
from arco.models.teacher import Teacher
from arco.params import Parameters

BOUND = 1.3
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
    "arco": {"trained": (1, 1), "teacher": (1, 1)},
    "mona": {"trained": (2, 2), "evaluated": (1, 1), "teacher": (1, 1)},
}
PASSES_OVER_VOLUMES = PASSES | {"mona": PASSES["arco"]}  # without equivariance


def passes(parameters: Parameters, axes: int, batch: Batch) -> dict[str, Callable[[], object]]:
    """What one pass of the images of `batch` is, by name."""
    network, labels = new_network(parameters, axes).train(), batch.labels
    frozen = new_network(parameters, axes).train().requires_grad_(False)
    teacher = Teacher(network)
    images, classes = batch.images, CLASSES[axes]
    known = parameters.learners[axes].methods
    width = known["dan"].settings["discriminator_width"]
    second = network.auxiliary_decoder(known["mcnet"].settings["upsampling"])
    trained_judge = Discriminator(classes, 1, width, axes)
    frozen_judge = Discriminator(classes, 1, width, axes).requires_grad_(False)
    maps = torch.rand(len(images), classes, *images.shape[2:])
    with torch.no_grad():
        encoded = network.encode(images)

    def backward(output: Tensor) -> None:
        torch.autograd.backward(output, torch.ones_like(output))

    def trained() -> None:
        network.zero_grad(set_to_none=True)
        backward(network(images))

    def probed() -> None:
        # Gradients of weights are not computed where only those of images are asked for.
        backward(frozen(images.detach().requires_grad_()))

    @torch.no_grad()
    def taught() -> None:
        teacher(images)

    def encode() -> None:
        network.zero_grad(set_to_none=True)
        made = network.encode(images)
        torch.autograd.backward(made, [torch.ones_like(level) for level in made])

    def decode() -> None:
        network.zero_grad(set_to_none=True)
        leaves = [level.detach().requires_grad_() for level in encoded]
        backward(network.classify(network.decode(leaves)[-1]))

    def decode_otherwise() -> None:
        second.zero_grad(set_to_none=True)
        backward(second([level.detach().requires_grad_() for level in encoded]))

    def judge() -> None:
        backward(frozen_judge(maps.detach().requires_grad_(), images))

    def learn_to_judge() -> None:
        trained_judge.zero_grad(set_to_none=True)
        backward(trained_judge(maps, images))

    return {
        "trained": trained,
        "probed": probed,
        "teacher": taught,
        "evaluated": lambda: in_evaluation(network, images),
        "encoder": encode,
        "decoder": decode,
        "second": decode_otherwise,
        "judged": judge,
        "judging": learn_to_judge,
        "distances": lambda: signed_distances(labels, classes),
    }


def measure(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each of `runs`, which take turns."""
    times: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds + WARM_UP):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn >= WARM_UP:  # until then caches, prototypes and banks fill
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def image_counts(name: str, axes: int, step: Step) -> dict[str, float]:
    """Images that a step of a method sends through each pass; empty without an entry in PASSES."""
    sizes, table = step.training.batch, {2: PASSES, 3: PASSES_OVER_VOLUMES}[axes]
    return {
        kind: labeled * sizes.labeled + unlabeled * sizes.unlabeled
        for kind, (labeled, unlabeled) in table.get(name, {}).items()
    }


def report(
    parameters: Parameters, axes: int, steps: dict[str, Step], seconds: dict[str, float]
) -> None:
    """Print the table."""
    sizes = steps["mt"].training.batch
    images = dict.fromkeys(seconds, sizes.labeled + sizes.unlabeled)
    images["distances"] = sizes.labeled
    print("milliseconds per image of a pass:")
    print(
        ", ".join(
            f"{kind} {1000 * value / images[kind]:.1f}"
            for kind, value in seconds.items()
            if kind not in steps
        )
    )
    print("\n| method | passes (images) | seconds | measured | explained | quotient |")
    print("|---|---|---|---|---|---|")
    counts = {name: image_counts(name, axes, step) for name, step in steps.items()}
    costs = {
        name: sum(count * seconds[kind] / images[kind] for kind, count in own.items())
        for name, own in counts.items()
    }
    for name in steps:
        measured = seconds[name] / seconds["mt"]
        cells = [f"{seconds[name]:.2f}", f"{measured:.2f}"]
        if counts[name]:
            explained = costs[name] / costs["mt"]
            quotient = measured / explained
            draws = "sampler" in parameters.learners[axes].methods[name].settings
            verdict = " (draws)" if draws else " TOO SLOW" if quotient > BOUND else ""
            listed = ", ".join(f"{kind} {count:g}" for kind, count in counts[name].items())
            cells = [listed, *cells, f"{explained:.2f}", f"{quotient:.2f}{verdict}"]
        else:
            cells = ["not counted", *cells, "", ""]
        print(f"| `{name}` | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--axes", type=int, choices=[2, 3], default=2)
    parser.add_argument("--size", type=int, help="pixels per axis; 96 in 2D, 32 in 3D")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--names", nargs="+", default=registry.names("methods"))
    options = parser.parse_args()
    parameters, axes = load_parameters(), options.axes
    size = (options.size or SIZES[axes],) * axes
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
    print(f"{axes}D, {' x '.join(map(str, size))}, {options.rounds} rounds; ", end="")
    report(parameters, axes, steps, measure(runs, options.rounds))


if __name__ == "__main__":
    main()
