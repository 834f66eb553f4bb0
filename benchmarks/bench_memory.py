"""Estimated peak GPU memory of each method and pretraining at paper scale: do 24 GiB hold it?

Each takes training steps on a CPU with the network, batch and constants of params.yaml. A ledger
follows every tensor from the operation that makes it to its release: weights, gradients,
momentum, teachers, banks, discriminators, what autograd saves, and the temporaries of both passes.
The most bytes alive at once in the last step are the estimate.

In 2D that step has the full size. In 3D it is taken at two small sizes. Its operations are the same
at every size, and what is alive after each grows linearly with the voxels of a patch: the line
through both sizes is drawn for each operation, and the highest at the full size counts. (The worst
moment may be another one at small sizes, where weights outweigh maps.) A third size checks the
lines: how far its peak lies off is printed below the table.

Mixed precision, which GPUs use, is followed by torch's autocast on the CPU, where convolutions are
computed in float32 and rounded: processors without bfloat16 units take minutes otherwise.

Left out are CUDA's context, the workspaces of convolutions and fragmentation: an estimate close to
the budget is no promise.

    python benchmarks/bench_memory.py [--axes 2 3] [--names arco mt ...] [--pretrainings]
"""

from __future__ import annotations

import argparse
import weakref
from collections.abc import Callable, Sequence
from math import prod
from typing import Any
from unittest import mock

import torch
from paper_steps import FULL_SIZES, Step, load_parameters, make_batch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from arco import registry
from arco.params import Parameters

SMALL, LARGE, CHECK = (32, 32, 32), (48, 32, 32), (32, 48, 48)
MEASURED = {2: (FULL_SIZES[2],), 3: (SMALL, LARGE, CHECK)}
WARM_UP_SIZES = {2: (64, 64), 3: (16, 32, 32)}
WARM_UP_STEPS = 3  # momentum, prototypes and banks fill
RADIUS = 0.45
"""Of the labels' balls: large, so that no draw of pixels is short of candidates."""

BUDGET_GIB = 24  # NVIDIA RTX 3090
GIB = 2**30
CONVOLUTIONS = (
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
)


def in_single_precision(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """A convolution of bfloat16 tensors, computed in float32 and rounded."""

    def widened(leaf: Any) -> Any:
        return leaf.float() if isinstance(leaf, Tensor) else leaf

    def rounded(leaf: Any) -> Any:
        return leaf.bfloat16() if isinstance(leaf, Tensor) else leaf

    return tree_map(rounded, func(*tree_map(widened, args), **kwargs))


class Ledger(TorchDispatchMode):
    """Bytes of all tensors made under this mode.

    Views and in-place results share a storage, which counts once and until it is released.

    Attributes:
        alive: now.
        timeline: after each operation since it was last emptied.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive = 0
        self.timeline: list[int] = []
        self._storages: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in CONVOLUTIONS and args[0].dtype == torch.bfloat16:
            result = in_single_precision(func, args, kwargs)
        else:
            result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._enter(leaf.untyped_storage())
        self.timeline.append(self.alive)
        return result

    def _enter(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return

        def release(_: object) -> None:
            self.alive -= self._storages.pop(key)[1]

        self._storages[key] = weakref.ref(storage, release), size
        self.alive += size


def timelines(
    parameters: Parameters, package: str, name: str, axes: int, *, mixed_precision: bool
) -> list[Tensor]:
    """Bytes alive after each operation of a step, for each of the sizes in MEASURED."""
    found = []
    # Blocks of pixels hold one image at the full sizes; so they shall at the small ones.
    with mock.patch("arco.models.pyramid.PIXEL_BLOCK", 1), Ledger() as ledger:
        step = Step(
            parameters,
            name,
            axes,
            FULL_SIZES[axes],
            package=package,
            mixed_precision=mixed_precision,
        )
        for _ in range(WARM_UP_STEPS):
            step(make_batch(step.training, axes, WARM_UP_SIZES[axes], RADIUS))
        for size in MEASURED[axes]:
            batch = make_batch(step.training, axes, size, RADIUS)
            ledger.timeline.clear()
            step(batch)
            found.append(list(ledger.timeline))
            del batch
    return [torch.tensor(timeline, dtype=torch.float64) for timeline in found]


def peak_at(size: Sequence[int], small: Tensor, large: Tensor) -> float:
    """The highest of the lines through the timelines at SMALL and LARGE, at `size`."""
    share = (prod(size) - prod(SMALL)) / (prod(LARGE) - prod(SMALL))
    return torch.lerp(small, large, share).max().item()


def estimate_gib(
    parameters: Parameters, package: str, name: str, axes: int, *, mixed_precision: bool
) -> tuple[float, float]:
    """The peak at the full size, and how far the peak at CHECK is off the lines, as a share.

    Raises:
        RuntimeError: the operations are not the same at both small sizes.
    """
    found = timelines(parameters, package, name, axes, mixed_precision=mixed_precision)
    if axes == 2:
        return found[0].max().item() / GIB, 0.0
    small, large, check = found
    if len(small) != len(large):
        raise RuntimeError(f"{name}: {len(small)} operations at {SMALL}, {len(large)} at {LARGE}")
    off = check.max().item() / peak_at(CHECK, small, large) - 1
    return peak_at(FULL_SIZES[3], small, large) / GIB, off


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--axes", type=int, nargs="+", choices=[2, 3], default=[2, 3])
    parser.add_argument("--names", nargs="+", help="all by default")
    parser.add_argument("--pretrainings", action="store_true", help="instead of methods")
    options = parser.parse_args()
    parameters = load_parameters()
    package = "pretraining" if options.pretrainings else "methods"
    names = options.names or registry.names(package)
    for axes in options.axes:
        learners = parameters.learners[axes]
        entries = learners.pretrainings if options.pretrainings else learners.methods
        print(f"\n| {axes}D | batch | bfloat16, GiB | left of {BUDGET_GIB} | float32, GiB | left |")
        print("|---|---|---|---|---|---|")
        worst = 0.0
        for name in names:
            if name not in entries:
                print(f"| `{name}` | not in params.yaml |", flush=True)
                continue
            sizes = entries[name].training.batch
            cells = [f"`{name}`", f"{sizes.labeled} + {sizes.unlabeled}"]
            for mixed_precision in (True, False):
                gib, off = estimate_gib(
                    parameters, package, name, axes, mixed_precision=mixed_precision
                )
                worst = max(worst, abs(off))
                cells += [f"{gib:.2f}", f"{BUDGET_GIB - gib:.1f}"]
            print(f"| {' | '.join(cells)} |", flush=True)
        if axes == 3:
            print(f"At {CHECK} peaks lie within {100 * worst:.2f} % of the lines.")


if __name__ == "__main__":
    main()
