"""Channels-last against contiguous memory on a CPU: training steps, forward passes.

One thread, both formats take turns, medians of ratios within a round. The figures decide what
training, `arco.models.teacher` and evaluation use: channels last for volumes in training, and for
forward passes without gradient over slices. These have a target.

    python benchmarks/bench_channels_last.py [--quick] [--rounds 15]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from harness import (
    Table,
    at_least,
    command_line,
    median_ratio,
    milliseconds,
    one_thread,
    read,
    take_turns,
)
from torch import Tensor

from arco.losses.segmentation import supervised_loss
from arco.models.memory_format import channels_last
from arco.models.unet import UNet
from arco.models.vnet import VNet

CLASSES = 4
TARGET = at_least(1.2)
USED = {("UNet", "forward pass"), ("VNet", "training step")}

Case = tuple[type[UNet | VNet], int, int, tuple[int, ...]]
"""Network, channels of its first level, images, their size."""

FULL: tuple[Case, ...] = (
    (UNet, 8, 8, (64, 64)),
    (UNet, 16, 8, (256, 256)),
    (VNet, 8, 6, (32, 48, 32)),
    (VNet, 16, 2, (48, 64, 64)),
)
QUICK: tuple[Case, ...] = ((UNet, 2, 2, (32, 32)), (VNet, 2, 2, (16, 32, 16)))


def make_runs(case: Case, *, last: bool) -> dict[str, Callable[[], object]]:
    """A training step, and a forward pass in evaluation mode without gradient."""
    network_class, base, count, size = case
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

    return {"training step": train, "forward pass": infer}


def main(argv: Sequence[str] | None = None) -> None:
    options = read(command_line(__doc__), argv, rounds=15)
    one_thread()
    table = Table("channels last, how many times as fast as contiguous", quick=options.quick)
    for case in QUICK if options.quick else FULL:
        network_class, base, count, size = case
        formats = {"contiguous": False, "channels last": True}
        made = {name: make_runs(case, last=last) for name, last in formats.items()}
        for what in ("training step", "forward pass"):
            runs = {name: made[name][what] for name in formats}
            times = take_turns(runs, options.rounds)
            network, shape = network_class.__name__, " x ".join(map(str, size))
            table.row(
                f"{network}, {base} first channels, {count} images of {shape}, {what}",
                ", ".join(f"{name} {milliseconds(found)}" for name, found in times.items()),
                median_ratio(times["contiguous"], times["channels last"]),
                TARGET if (network, what) in USED else None,
            )


if __name__ == "__main__":
    main()
