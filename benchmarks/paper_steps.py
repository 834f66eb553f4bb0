"""Training steps of methods and pretrainings with the settings that params.yaml has at paper scale.

Benchmarks of time and memory build from params.yaml, so that what they measure is what a run
trains, and drive a method as the training loop does. With `--quick` they take the scale `smoke`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from harness import one_thread
from torch import Tensor

from arco import params, registry
from arco.contracts import Batch, Context, Progress, Randomness, Trainable
from arco.models.backbone import Backbone
from arco.models.build import build_network
from arco.models.memory_format import channels_last
from arco.optimizers import build_optimizer
from arco.schema.training import Training
from arco.trees import merged

FULL_SIZES = {2: (256, 256), 3: (80, 112, 112)}
QUICK_SIZES = {2: (32, 32), 3: (16, 16, 16)}
CLASSES = {2: 4, 3: 2}  # ACDC; the left atrium
TRAINING_ITEMS = {2: 1312, 3: 80}
PROGRESS = Progress(step=999, total=1000, steps_per_epoch=10)
"""The last step of a run, where every term of a loss has its weight."""


def load_parameters(*, quick: bool) -> params.Parameters:
    """params.yaml at paper scale, or at scale smoke; from here on one thread, as in training."""
    one_thread()
    scale = "smoke" if quick else "paper"
    return params.load(Path(__file__).parents[1] / "params.yaml", {"scale": scale})


def make_batch(
    training: Training, axes: int, size: tuple[int, ...], radius: float = 0.125
) -> Batch:
    """Noise images; nested balls as labels, one in the other.

    Args:
        training: for the numbers of images.
        axes: 2 or 3.
        size: of an image.
        radius: of the largest ball, as a share of the image's sides. 0.125 covers about 5 % in 2D.
    """
    generator = torch.Generator().manual_seed(0)
    labeled, unlabeled, mined = (
        getattr(training.batch, part) for part in ("labeled", "unlabeled", "mined")
    )
    count, classes = labeled + unlabeled, CLASSES[axes]
    centered = torch.meshgrid(
        *(torch.linspace(-0.5, 0.5, length) for length in size), indexing="ij"
    )
    distance = torch.stack(centered).square().sum(dim=0).sqrt()
    bounds = [radius * (1 - inner / classes) for inner in range(classes - 1)]
    labels = torch.stack([distance < bound for bound in bounds]).sum(dim=0)
    return Batch(
        images=torch.rand(count, 1, *size, generator=generator),
        labels=labels.expand(labeled, *size).contiguous(),
        frame=torch.ones(count, *size, dtype=torch.bool),
        mined=torch.rand(mined, 1, *size, generator=generator),
        heights=torch.arange(count) / count,
    )


def new_network(parameters: params.Parameters, axes: int) -> Backbone:
    """A freshly initialised U-Net or V-Net."""
    networks = parameters.sections.networks
    name = {2: "unet", 3: "vnet"}[axes]
    settings = {
        "dataset": {"classes": range(CLASSES[axes]), "spatial_axes": axes},
        "network": {"name": name, **getattr(networks, name).model_dump()},
    }
    return build_network(settings, 1)


class Step:
    """A method or pretraining with its optimizer and generators.

    Args:
        parameters: all parameters.
        name: of the method or, if `package` says so, of the pretraining.
        axes: 2 or 3.
        size: of the images it is built for.
        package: methods or pretraining.
        mixed_precision: whether networks compute in bfloat16, as they do on a GPU.
        changes: of single settings.
    """

    def __init__(
        self,
        parameters: params.Parameters,
        name: str,
        axes: int,
        size: tuple[int, ...],
        *,
        package: str = "methods",
        mixed_precision: bool = False,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        learners = parameters.learners[axes]
        if package == "methods":
            entry, augmentation = learners.methods[name], learners.augmentation
            module = registry.load(package, name)
        else:
            entry = learners.pretrainings[name]
            augmentation = entry.augmentation
            module = registry.load(package, entry.framework)

        def network() -> Backbone:
            built = new_network(parameters, axes)
            built.mixed_precision = mixed_precision
            return built

        torch.manual_seed(0)
        context = Context(
            build_network=network,
            pretrained=None,
            classes=CLASSES[axes],
            spatial_axes=axes,
            image_size=size,
            augmentation=augmentation,
            channels=1,
            randomness=Randomness(0, torch.device("cpu")),
            training_items=TRAINING_ITEMS[axes],
        )
        self.training: Training = entry.training
        settings = module.Settings.model_validate(merged(entry.settings, changes or {}))
        built = module.Method(settings, context).train()
        self.method: Trainable = channels_last(built, planes=False)
        self.optimizer = build_optimizer(self.training.optimizer, self.method.named_parameters())

    def __call__(self, batch: Batch) -> dict[str, float]:
        """One step; CPU seconds of its three parts."""
        times = [time.process_time()]
        loss: Tensor = self.method.step(batch, PROGRESS).loss
        times.append(time.process_time())
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        times.append(time.process_time())
        self.optimizer.step()
        self.method.after_update(PROGRESS)
        times.append(time.process_time())
        parts = zip(("loss", "backward", "update"), times[:-1], times[1:], strict=True)
        return {part: end - start for part, start, end in parts}
