"""Channels-last against contiguous memory on a CPU: training steps, forward passes.

One thread, formats interleaved, medians of ratios within a round. The figures decide what
training, `arco.models.teacher` and evaluation use: channels last for volumes, and over slices for
forward passes without gradient.

    python benchmarks/bench_channels_last.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from arco.device import make_deterministic, reuse_memory
from arco.losses.segmentation import supervised_loss
from arco.models.memory_format import channels_last
from arco.models.unet import UNet
from arco.models.vnet import VNet

CLASSES = 4
CASES = (  # network, first channels, images, size
    (UNet, 8, 8, (64, 64)),
    (UNet, 16, 8, (256, 256)),
    (VNet, 8, 6, (32, 48, 32)),
    (VNet, 16, 2, (48, 64, 64)),
)
TARGET = 1.2


def make_runs(
    network_class: type[UNet | VNet], base: int, count: int, size: tuple[int, ...], *, last: bool
) -> tuple[Callable[[], None], Callable[[], Tensor]]:
    """A training step, and a forward pass in evaluation mode without gradient."""
    torch.manual_seed(0)
    network = network_class(1, CLASSES, [base * 2**level for level in range(5)])
    if last:
        channels_last(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(count, 1, *size)
    labels = torch.randint(0, CLASSES, (count, *size))

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
    make_deterministic(torch.device("cpu"), threads=1)
    reuse_memory()
    for network_class, base, count, size in CASES:
        made = {
            name: make_runs(network_class, base, count, size, last=name == "channels last")
            for name in ("contiguous", "channels last")
        }
        label = f"{network_class.__name__}, {base} first channels, {count} x {size}"
        for index, what in enumerate(("training step", "forward pass")):
            compare(f"{label}, {what}", {name: runs[index] for name, runs in made.items()}, rounds)


if __name__ == "__main__":
    main()
