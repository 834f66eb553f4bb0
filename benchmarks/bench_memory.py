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
the budget is no promise. Ratios are to the budget.

    python benchmarks/bench_memory.py [--quick] [--axes 2 3] [--names arco mt ...] [--pretrainings]
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any
from unittest import mock

import torch
from harness import Table, at_most, command_line
from paper_steps import FULL_SIZES, Step, load_parameters, make_batch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from arco import registry
from arco.params import Parameters

Size = tuple[int, ...]


@dataclass(frozen=True)
class Sizes:
    """The size in question by spatial axes; where volumes are measured; where steps warm up."""

    full: dict[int, Size]
    small: Size
    large: Size
    check: Size
    warm_up: dict[int, Size]

    def measured(self, axes: int) -> tuple[Size, ...]:
        return (self.full[2],) if axes == 2 else (self.small, self.large, self.check)


FULL = Sizes(FULL_SIZES, (32, 32, 32), (48, 32, 32), (32, 48, 48), {2: (64, 64), 3: (16, 32, 32)})
QUICK = replace(FULL, full={2: (32, 32), 3: FULL.check}, warm_up={2: (32, 32), 3: (16, 32, 32)})
QUICK_NAMES = {"methods": ["arco"], "pretraining": ["relational"]}
WARM_UP_STEPS = 3  # momentum, prototypes and banks fill
EVERY_STEP: dict[str, Any] = {"arco": {"strong": {"probability": 1.0}}}
"""Settings changed so that every step does all that some steps do."""

RADIUS = 0.45
"""Of the labels' balls: large, so that no draw of pixels is short of candidates."""

BUDGET_GIB = 24  # NVIDIA RTX 3090
TARGET = at_most(1)
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


@dataclass(frozen=True)
class Learner:
    """One method or pretraining of a number of spatial axes, to be measured at `sizes`."""

    parameters: Parameters
    package: str
    name: str
    axes: int
    sizes: Sizes

    def timelines(self, *, mixed_precision: bool) -> list[Tensor]:
        """Bytes alive after each operation of a step, for each of the measured sizes."""
        axes, found = self.axes, []
        # Blocks of pixels hold one image at the full sizes; so they shall at the small ones.
        with mock.patch("arco.models.pyramid.PIXEL_BLOCK", 1), Ledger() as ledger:
            step = Step(
                self.parameters,
                self.name,
                axes,
                self.sizes.full[axes],
                package=self.package,
                mixed_precision=mixed_precision,
                changes=EVERY_STEP.get(self.name),
            )
            for _ in range(WARM_UP_STEPS):
                step(make_batch(step.training, axes, self.sizes.warm_up[axes], RADIUS))
            for size in self.sizes.measured(axes):
                batch = make_batch(step.training, axes, size, RADIUS)
                ledger.timeline.clear()
                step(batch)
                found.append(list(ledger.timeline))
                del batch
        return [torch.tensor(timeline, dtype=torch.float64) for timeline in found]

    def peak_at(self, size: Sequence[int], small: Tensor, large: Tensor) -> float:
        """The highest of the lines through the timelines at both small sizes, at `size`."""
        voxels = [prod(s) for s in (size, self.sizes.small, self.sizes.large)]
        share = (voxels[0] - voxels[1]) / (voxels[2] - voxels[1])
        return torch.lerp(small, large, share).max().item()

    def estimate_gib(self, *, mixed_precision: bool) -> tuple[float, float]:
        """The peak at the full size, and how far the third size's is off the lines, as a share.

        Raises:
            RuntimeError: the operations are not the same at both small sizes.
        """
        found = self.timelines(mixed_precision=mixed_precision)
        if self.axes == 2:
            return found[0].max().item() / GIB, 0.0
        small, large, check = found
        if len(small) != len(large):
            raise RuntimeError(
                f"{self.name}: {len(small)} operations at {self.sizes.small}, "
                f"{len(large)} at {self.sizes.large}"
            )
        off = check.max().item() / self.peak_at(self.sizes.check, small, large) - 1
        return self.peak_at(self.sizes.full[3], small, large) / GIB, off


def estimate_all(
    parameters: Parameters, package: str, names: Sequence[str], axes: int, *, quick: bool
) -> None:
    """Print the table of one number of spatial axes."""
    sizes, worst = QUICK if quick else FULL, 0.0
    learners = parameters.learners[axes]
    entries = learners.methods if package == "methods" else learners.pretrainings
    for name in [name for name in names if name not in entries]:
        print(f"{name} has no entry in params.yaml and is left out")
    table = Table(f"peak memory in {axes}D, over {BUDGET_GIB} GiB", quick=quick)
    for name in filter(entries.__contains__, names):
        batch = entries[name].training.batch
        learner = Learner(parameters, package, name, axes, sizes)
        for precision, mixed in (("bfloat16", True), ("float32", False)):
            gib, off = learner.estimate_gib(mixed_precision=mixed)
            worst = max(worst, abs(off))
            what = f"`{name}`, {batch.labeled} + {batch.unlabeled}, {precision}"
            measured = f"{gib:.2f} GiB, {BUDGET_GIB - gib:.1f} left"
            table.row(what, measured, gib / BUDGET_GIB, TARGET)
    if axes == 3:
        print(f"\nAt {sizes.check} peaks lie within {100 * worst:.2f} % of the lines.")


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line(__doc__)
    parser.add_argument("--axes", type=int, nargs="+", choices=[2, 3], default=[2, 3])
    parser.add_argument("--names", nargs="+", help="all by default")
    parser.add_argument("--pretrainings", action="store_true", help="instead of methods")
    options = parser.parse_args(argv)
    parameters = load_parameters(quick=options.quick)
    package = "pretraining" if options.pretrainings else "methods"
    every = QUICK_NAMES[package] if options.quick else registry.names(package)
    for axes in options.axes:
        estimate_all(parameters, package, options.names or every, axes, quick=options.quick)


if __name__ == "__main__":
    main()
