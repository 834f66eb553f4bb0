"""Estimated peak memory of training each method at paper scale: does a GPU of 24 GiB hold it?

Every registered method trains for a few steps on a CPU at two small image sizes, with the network,
batch and constants of params.yaml. A ledger follows each tensor from the operation that makes it
to its release: weights, gradients, momentum, teachers, banks, discriminators, whatever autograd
saves, and the temporaries of both passes. What is alive at the worst moment grows linearly with
the pixels of an image; the line through the two sizes gives the full size.

Left out are CUDA's context, the workspaces of convolutions and fragmentation: an estimate close to
the budget is no promise.

    python benchmarks/bench_memory.py [--methods arco mt ...]
"""

from __future__ import annotations

import argparse
import weakref
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from arco import params, registry
from arco.contracts import Batch, Context, Progress, Randomness
from arco.models.build import build_network
from arco.optimizers import build_optimizer
from arco.schema import Training

FULL_SIZES = {2: (256, 256), 3: (80, 112, 112)}
SMALL_SIZES = {2: ((64, 64), (96, 96)), 3: ((32, 32, 32), (32, 48, 48))}
CLASSES = {2: 4, 3: 2}  # ACDC; the left atrium
TRAINING_ITEMS = {2: 1312, 3: 80}
STEPS = 3  # gradients and momentum exist from the second step on, prototypes and banks too
TOTAL = 1000
BUDGET_GIB = 24
GIB = 2**30


class Ledger(TorchDispatchMode):
    """Bytes of all tensors made under this mode: alive now, and at the worst moment so far.

    Views and in-place results share a storage, which counts once and until it is released.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._storages: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._enter(leaf.untyped_storage())
        return result

    def _enter(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return

        def release(_: object) -> None:
            self.alive -= self._storages.pop(key)[1]

        self._storages[key] = weakref.ref(storage, release), size
        self.alive += size
        self.peak = max(self.peak, self.alive)


def make_batch(training: Training, axes: int, size: tuple[int, ...]) -> Batch:
    """Noise images; bands of every class as labels, so that no class is absent."""
    labeled, unlabeled = training.batch.labeled, training.batch.unlabeled
    count = labeled + unlabeled
    bands = torch.arange(prod(size)).view(size) * CLASSES[axes] // prod(size)
    return Batch(
        images=torch.rand(count, 1, *size),
        labels=bands.expand(labeled, *size).contiguous(),
        frame=torch.ones(count, *size, dtype=torch.bool),
        mined=torch.rand(training.batch.mined, 1, *size),
        heights=torch.arange(count) / count,
    )


def peak_bytes(parameters: params.Parameters, name: str, axes: int, size: tuple[int, ...]) -> int:
    """The most bytes alive in a few steps of a method, driven as the training loop drives it."""
    entry, networks = parameters.learners[axes].methods[name], parameters.sections.networks
    network = {2: {"name": "unet", **networks.unet.model_dump()},
               3: {"name": "vnet", **networks.vnet.model_dump()}}[axes]  # fmt: skip
    dataset = {"classes": range(CLASSES[axes]), "spatial_axes": axes}
    module = registry.load("methods", name)
    torch.manual_seed(0)
    with Ledger() as ledger:
        context = Context(
            build_network=lambda: build_network({"dataset": dataset, "network": network}, 1),
            pretrained=None,
            classes=CLASSES[axes],
            spatial_axes=axes,
            image_size=size,
            channels=1,
            randomness=Randomness(0, torch.device("cpu")),
            training_items=TRAINING_ITEMS[axes],
        )
        method = module.Method(module.Settings.model_validate(entry.settings), context).train()
        optimizer = build_optimizer(entry.training.optimizer, method.named_parameters())
        batch = make_batch(entry.training, axes, size)
        for step in range(TOTAL - STEPS, TOTAL):  # the last ones, when every term has its weight
            progress = Progress(step, TOTAL, steps_per_epoch=10)
            output = method.step(batch, progress)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(output.loss)
            optimizer.step()
            method.after_update(progress)
    return ledger.peak


def estimate_gib(parameters: params.Parameters, name: str, axes: int) -> float:
    """The line through the peaks at the two small sizes, at the full size."""
    small, large = SMALL_SIZES[axes]
    base, more = (peak_bytes(parameters, name, axes, size) for size in (small, large))
    slope = (more - base) / (prod(large) - prod(small))
    return (base + slope * (prod(FULL_SIZES[axes]) - prod(small))) / GIB


def fits(estimates: dict[int, float]) -> str:
    """In words, for the last column."""
    inside = [f"{axes}D" for axes, gib in estimates.items() if gib <= BUDGET_GIB]
    return {0: "neither", len(estimates): "both"}.get(len(inside), " ".join([*inside, "only"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=registry.names("methods"))
    chosen = parser.parse_args().methods
    torch.set_num_threads(1)
    parameters = params.load(Path(__file__).parents[1] / "params.yaml", {"scale": "paper"})
    print(f"| method | 2D GiB | 3D GiB | fits in {BUDGET_GIB} GiB |")
    print("|---|---|---|---|")
    for name in chosen:
        if name not in parameters.learners[2].methods:
            print(f"| {name} | not in params.yaml | not in params.yaml | unknown |", flush=True)
            continue
        estimates = {axes: estimate_gib(parameters, name, axes) for axes in FULL_SIZES}
        cells = " | ".join(f"{gib:.2f}" for gib in estimates.values())
        print(f"| {name} | {cells} | {fits(estimates)} |", flush=True)


if __name__ == "__main__":
    main()
