"""Every method at a size that steps in milliseconds, and batches to step on."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from arco import params, registry
from arco.contracts import IGNORE, Batch, Context, Progress, Randomness, StepOutput, Trainable
from arco.models.unet import UNet
from arco.models.vnet import VNet

SIZES = {2: (16, 32), 3: (32, 16, 32)}
SQUARE_SIZES = {2: (16, 16), 3: (32, 16, 16)}
SQUARE = ("dct_rot",)
"""Methods of quarter turns, which need planes of equal sides."""

CHANNELS = (4, 4, 8, 8, 16)
PARAMETERS = params.load(
    Path(__file__).parents[2] / "params.yaml",
    {"scale": "smoke", "methods": {"arco": {"memory_bank": 7}}},
)


def size_of(name: str, axes: int) -> tuple[int, ...]:
    """The image size that the method `name` is tried at."""
    return (SQUARE_SIZES if name in SQUARE else SIZES)[axes]


def smooth_images(count: int, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    coarse = torch.rand(count, 1, *(length // 6 + 2 for length in size), generator=generator)
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    return functional.interpolate(coarse, size, mode=mode, align_corners=True)


def make_batch(
    seed: int,
    classes: int = 3,
    labeled: int = 2,
    unlabeled: int = 2,
    *,
    axes: int = 2,
    size: tuple[int, ...] | None = None,
) -> Batch:
    """Images whose label is their brightness, with an out-of-frame border."""
    generator = torch.Generator().manual_seed(1000 + seed)
    size = SIZES[axes] if size is None else size
    images = smooth_images(labeled + unlabeled, size, generator)
    labels = (images[:labeled, 0] * classes).long().clamp(max=classes - 1)
    frame = torch.ones(labeled + unlabeled, *size, dtype=torch.bool)
    frame[:, :2] = False
    labels[:, :2] = IGNORE
    return Batch(images, labels, frame, images[:0], torch.arange(len(images)) / len(images))


@dataclass
class Training:
    """A method in training, driven as the loop drives it."""

    method: Trainable
    optimizer: torch.optim.Optimizer
    randomness: Randomness
    classes: int
    size: tuple[int, ...]
    taken: int = 0

    def step(self, batch: Batch | None = None) -> StepOutput:
        progress = Progress(self.taken, 50, 10)
        batch = make_batch(self.taken, self.classes, size=self.size) if batch is None else batch
        output = self.method.step(batch, progress)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(output.loss)
        self.optimizer.step()
        self.method.after_update(progress)
        self.taken += 1
        return output

    def state(self) -> dict[str, Any]:
        generators = {n: g.get_state() for n, g in self.randomness.generators.items()}
        return {
            "method": copy.deepcopy(self.method.state_dict()),
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "generators": generators,
            "torch": torch.get_rng_state(),
            "taken": self.taken,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, generator in state["generators"].items():
            self.randomness.generator(name).set_state(generator)
        torch.set_rng_state(state["torch"])
        self.taken = state["taken"]


def start(
    name: str,
    *,
    seed: int = 0,
    classes: int = 3,
    axes: int = 2,
    dropout: float = 0.0,
    size: tuple[int, ...] | None = None,
    augmentation: dict[str, Any] | None = None,
    pretrained: dict[str, Tensor] | None = None,
    settings: dict[str, Any] | None = None,
    **changes: Any,
) -> Training:
    """The method `name`, freshly built; `augmentation` and `changes` replace single settings.

    `settings` are further `changes`, for those whose name is an argument here.
    """
    size = size_of(name, axes) if size is None else size
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    randomness = Randomness(seed, torch.device("cpu"))
    module = registry.load("methods", name)
    if name == "dct":  # else its adversarial half starts later than most tests end
        changes = {"adversarial_start": 0.0, **changes}
    context = Context(
        build_network=lambda: (
            UNet(1, classes, CHANNELS, (dropout,) * 5)
            if axes == 2
            else VNet(1, classes, CHANNELS, dropout)
        ),
        pretrained=pretrained,
        classes=classes,
        spatial_axes=axes,
        image_size=size,
        augmentation=PARAMETERS.learners[axes].augmentation.model_copy(update=augmentation),
        channels=1,
        randomness=randomness,
        training_items=40,
    )
    own = {**PARAMETERS.learners[axes].methods[name].settings, **changes, **(settings or {})}
    method = module.Method(module.Settings(**own), context).train()
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05, momentum=0.9)
    return Training(method, optimizer, randomness, classes, size)
