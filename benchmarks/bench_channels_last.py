"""Channels-last against contiguous memory for the U-Net on a CPU: training steps, forward passes.

One thread, formats interleaved, medians of ratios within a round. The figures decide what
`arco.models.teacher` and evaluation use: channels last for forward passes without gradient.

    python benchmarks/bench_channels_last.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from arco.losses.segmentation import supervised_loss
from arco.models.unet import UNet

BATCH, CLASSES = 8, 4
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
TARGET = 1.2


def make_runs(
    size: int, base: int, form: torch.memory_format
) -> tuple[Callable[[], None], Callable[[], Tensor]]:
    """A training step, and a forward pass in evaluation mode without gradient."""
    torch.manual_seed(0)
    channels = [base * 2**level for level in range(5)]
    network = UNet(1, CLASSES, channels).to(memory_format=form)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(BATCH, 1, size, size).to(memory_format=form)
    labels = torch.randint(0, CLASSES, (BATCH, size, size))

    def train() -> None:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        supervised_loss(network(images), labels).backward()
        optimizer.step()

    @torch.no_grad()
    def infer() -> Tensor:
        return network.eval()(images)

    return train, infer


def compare(label: str, runs: dict[str, Callable[[], object]], rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn:  # the first round warms up
                times[name].append(time.process_time() - start)
    plain, last = times["contiguous"], times["channels last"]
    gain = statistics.median(a / b for a, b in zip(plain, last, strict=True))
    seconds = {name: f"{1000 * statistics.median(values):.0f} ms" for name, values in times.items()}
    print(f"{label}: {seconds}, channels last is {gain:.2f}x as fast (target {TARGET})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for size, base in ((64, 8), (256, 16)):
        made = {name: make_runs(size, base, form) for name, form in FORMATS.items()}
        label = f"{BATCH} x {size} x {size}, {base} base channels"
        compare(f"{label}, training step", {name: runs[0] for name, runs in made.items()}, rounds)
        compare(f"{label}, forward pass", {name: runs[1] for name, runs in made.items()}, rounds)


if __name__ == "__main__":
    main()
