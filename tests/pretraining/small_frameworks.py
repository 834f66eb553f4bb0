"""Every pretraining framework at a size that trains in a second, and images to train it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from arco import registry
from arco.contracts import Batch, Context, Progress, Randomness, StepOutput, Trainable
from arco.models.backbone import Backbone
from arco.models.unet import UNet
from arco.models.vnet import VNet
from arco.schema.training import Augmentation
from arco.trees import merged

SIZES = {2: (16, 32), 3: (16, 32, 16)}
CLASSES = 3
CHANNELS = (4, 4, 8, 8, 16)
TRAINING_ITEMS = 40
AUGMENTATION = Augmentation(
    rotation=True, rotation_degrees=20.0, quarter_turns=0.5, crop=True, crop_padding=4, flip=True
)

WEAK = {
    "crop_min": 0.5,
    "flip": 0.5,
    "jitter": 0.0,
    "strength": 0.4,
    "blur": 0.0,
    "blur_min": 0.1,
    "blur_max": 1.0,
    "solarize": 0.0,
}
STRONG = WEAK | {"jitter": 0.8, "blur": 0.5, "solarize": 0.1}
STUDENT_AND_TEACHER = {"student_view": STRONG, "teacher_view": STRONG}
TWO_VIEWS = {"first_view": STRONG, "second_view": STRONG}

SMALL: dict[str, dict[str, Any]] = {
    "relational": {
        "global_weight": 1.0,
        "local_weight": 1.0,
        "student_temperature": 0.1,
        "teacher_temperature": 0.01,
        "memory_bank": 12,
        "embedding": 16,
        "hidden": 16,
        "local_maps": "decoder",
        "local_windows": 3,
        "local_pooling": 4,
        "ema_decay": 0.9,
        "global_share": 0.0,
        "jitter": {
            "brightness": 0.2,
            "contrast": 0.2,
            "blur_min": 0.15,
            "blur_max": 1.15,
            "probability": 0.5,
        },
    },
    "mocov2": STUDENT_AND_TEACHER
    | {"hidden": 16, "embedding": 8, "memory_bank": 20, "temperature": 0.2, "ema_decay": 0.9},
    "knn_moco": STUDENT_AND_TEACHER
    | {
        "hidden": 16,
        "embedding": 8,
        "memory_bank": 20,
        "neighbors": 4,
        "neighbor_weight": 0.4,
        "temperature": 0.2,
        "ema_decay": 0.9,
    },
    "simclr": TWO_VIEWS | {"hidden": 16, "embedding": 8, "temperature": 0.5},
    "byol": TWO_VIEWS | {"hidden": 32, "embedding": 8, "ema_decay": 0.9},
    "isd": {"student_view": STRONG, "teacher_view": WEAK}
    | {
        "hidden": 32,
        "embedding": 8,
        "memory_bank": 20,
        "student_temperature": 0.1,
        "teacher_temperature": 0.01,
        "ema_decay": 0.9,
    },
    "gcl": {"global_share": 0.5, "blocks": 4, "view": STRONG}
    | {"hidden": 16, "embedding": 8, "temperature": 0.1, "local_width": 4},
    "vicreg": TWO_VIEWS | {"width": 32, "invariance": 25.0, "variance": 25.0, "covariance": 1.0},
}


def build_network(dropout: float = 0.0, axes: int = 2) -> Backbone:
    """A network of these sizes."""
    if axes == 3:
        return VNet(1, CLASSES, CHANNELS, dropout)
    return UNet(1, CLASSES, CHANNELS, (dropout,) * 5)


def smooth_images(count: int, generator: torch.Generator, axes: int = 2) -> Tensor:
    """Random blobs of a few pixels with values in [0, 1], [count, 1, *S]."""
    size = SIZES[axes]
    coarse = torch.rand(count, 1, *(4, 6, 4)[:axes], generator=generator)
    mode = {2: "bicubic", 3: "trilinear"}[axes]
    return functional.interpolate(coarse, size, mode=mode).clamp(0, 1)


def make_batch(name: str, seed: int, unlabeled: int | None = None, *, axes: int = 2) -> Batch:
    """Images as the loader gives them to the framework `name`: three labeled ones or none.

    By default 8 unlabeled ones; of two volumes GCL makes as many slabs.
    """
    if unlabeled is None:
        unlabeled = 2 if name == "gcl" and axes == 3 else 8
    generator = torch.Generator().manual_seed(1000 + seed)
    uses_labels = name == "relational"
    images = smooth_images(unlabeled + 3 * uses_labels, generator, axes)
    labels = (images[: 3 * uses_labels, 0] * CLASSES).long().clamp(max=CLASSES - 1)
    if uses_labels:
        labels[:, :2] = -1
    mined = smooth_images(5 if uses_labels else 0, generator, axes)
    frame = torch.ones_like(images[:, 0], dtype=torch.bool)
    return Batch(images, labels, frame, mined, torch.arange(len(images)) / len(images))


@dataclass
class Training:
    """A framework in training, driven as the real loop drives it."""

    name: str
    method: Trainable
    optimizer: torch.optim.Optimizer
    randomness: Randomness
    axes: int = 2
    total: int = 50
    taken: int = 0

    def step(self, batch: Batch | None = None) -> StepOutput:
        """Take one step; without a batch, on one that depends on the number of the step alone."""
        progress = Progress(self.taken, self.total, 10)
        batch = make_batch(self.name, self.taken, axes=self.axes) if batch is None else batch
        output = self.method.step(batch, progress)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(output.loss)
        self.optimizer.step()
        self.method.after_update(progress)
        self.taken += 1
        return output

    def take(self, steps: int) -> list[float]:
        """Take steps on batches that depend on the step alone; returns the losses."""
        return [self.step().loss.item() for _ in range(steps)]


def start(
    name: str, seed: int = 0, dropout: float = 0.0, *, axes: int = 2, **changes: Any
) -> Training:
    """The framework `name`, freshly built; `changes` are merged into its small settings."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    randomness = Randomness(seed, torch.device("cpu"))
    module = registry.load("pretraining", name)
    context = Context(
        build_network=lambda: build_network(dropout, axes),
        pretrained=None,
        classes=CLASSES,
        spatial_axes=axes,
        image_size=SIZES[axes],
        augmentation=AUGMENTATION,
        channels=1,
        randomness=randomness,
        training_items=TRAINING_ITEMS,
    )
    method = module.Method(module.Settings(**merged(SMALL[name], changes)), context).train()
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    return Training(name, method, torch.optim.Adam(trained, lr=3e-3), randomness, axes)
