"""What the rooms hand to each other while training: batches, progress, steps, random numbers.

Letters in shapes: B batch, L labeled, U unlabeled (B = L + U), C classes including background,
S one entry per spatial axis (two in 2D, three in 3D), D features of the representation.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from arco.models.backbone import Backbone
    from arco.schema.training import Augmentation

IGNORE = -1
"""Label of a pixel that lies outside the original image after augmentation; every loss skips it."""


@dataclass(frozen=True)
class Batch:
    """One training batch; the labeled images come first.

    Attributes:
        images: [B, channels, *S] float32.
        labels: [L, *S] int64, 0 is background, IGNORE outside the frame. There is no label for the
            unlabeled images, so no method can look at one.
        frame: [B, *S] bool, False where augmentation moved in pixels from outside the image.
        mined: [M, channels, *S] float32, further unlabeled images for methods that relate an image
            to others (appendix Sec. E); empty unless the method's batch asks for some.
        heights: [B] float32 in [0, 1), where each slice (or the center of each patch) lies along
            the slice axis of its scan; for methods that match slices by height (GCL).
    """

    images: Tensor
    labels: Tensor
    frame: Tensor
    mined: Tensor
    heights: Tensor

    @property
    def labeled_count(self) -> int:
        """L, the number of labeled images."""
        return len(self.labels)

    @property
    def labeled(self) -> Tensor:
        """[L, channels, *S] float32."""
        return self.images[: len(self.labels)]

    @property
    def unlabeled(self) -> Tensor:
        """[U, channels, *S] float32."""
        return self.images[len(self.labels) :]

    @property
    def unlabeled_frame(self) -> Tensor:
        """[U, *S] bool."""
        return self.frame[len(self.labels) :]


@dataclass(frozen=True)
class Progress:
    """Where training stands: `step` counts finished optimiser steps, from 0 to `total` - 1."""

    step: int
    total: int
    steps_per_epoch: int

    @property
    def fraction(self) -> float:
        """Share of the run that is done, in [0, 1)."""
        return self.step / self.total

    @property
    def epoch(self) -> int:
        """Epochs over the training slices that are done."""
        return self.step // self.steps_per_epoch


@dataclass(frozen=True)
class StepOutput:
    """The loss of one step and what the history file tells of it.

    Attributes:
        loss: a scalar with a graph, which the optimizer descends.
        logs: detached scalars. A name may be missing in steps that cannot tell it.
        terms: the weighted parts of the loss with their graphs, `supervised` first, for those who
            ask which of them moves the network; empty where the loss has one part.
    """

    loss: Tensor
    logs: dict[str, Tensor]
    terms: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        supervised: Tensor,
        terms: Mapping[str, tuple[float, Tensor]],
        facts: Mapping[str, Tensor] | None = None,
    ) -> StepOutput:
        """The supervised loss plus weighted further terms, by name.

        Each is logged unweighted; `facts` are logged beside them.
        """
        total, logs = supervised, {"supervised": supervised.detach()}
        weighted = {"supervised": supervised}
        for name, (weight, term) in terms.items():
            weighted[name] = weight * term
            total = total + weighted[name]
            logs[name] = term.detach()
        return cls(total, logs | dict(facts or {}), weighted)


@dataclass
class Randomness:
    """Named random generators, all derived from one seed, saved and restored with a checkpoint.

    Each consumer has its own, so that how many numbers one consumes never shifts another: runs
    that differ only in their sampler see the same batches, augmentations and initial weights.
    """

    seed: int
    device: torch.device
    generators: dict[str, torch.Generator] = field(default_factory=dict)

    def generator(self, name: str) -> torch.Generator:
        """The generator called `name`, on this run's device; made at the first call."""
        if name not in self.generators:
            digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
            generator = torch.Generator(self.device)
            generator.manual_seed(int.from_bytes(digest[:7], "big"))
            self.generators[name] = generator
        return self.generators[name]


@dataclass(frozen=True)
class Context:
    """What a method is built from, besides its own settings.

    Attributes:
        build_network: returns a freshly initialised segmentation network of this run's shape.
        pretrained: backbone weights to start from (see `Context.student`), or None.
        classes: C, background included.
        spatial_axes: 2 or 3.
        image_size: *S of the training images or patches.
        augmentation: what the loader may do to them; a method that turns or mirrors images as
            augmentation goes no further.
        channels: image channels.
        randomness: the run's generators.
        training_items: training images (slices or volumes) there are, a bound for memory banks.
    """

    build_network: Callable[[], Backbone]
    pretrained: dict[str, Tensor] | None
    classes: int
    spatial_axes: int
    image_size: tuple[int, ...]
    augmentation: Augmentation
    channels: int
    randomness: Randomness
    training_items: int

    def student(self) -> Backbone:
        """A network that starts from the pretrained weights where there are any.

        A checkpoint holds either the whole network or only its encoder; anything else is refused.
        """
        from arco.models.backbone import load_pretrained

        network = self.build_network()
        if self.pretrained is not None:
            load_pretrained(network, self.pretrained)
        return network


class Trainable(nn.Module, ABC):
    """What the training loop drives: a fine-tuning method or a pretraining framework.

    Everything that must survive a kill is a parameter or a buffer (memory banks, teachers) or a
    generator of `Context.randomness`. The loop owns device, optimiser, schedule, checkpoints and
    logs. It calls `step`, descends the loss over the parameters that require a gradient, then
    calls `after_update`.
    """

    @abstractmethod
    def step(self, batch: Batch, progress: Progress) -> StepOutput:
        """The loss of one batch."""

    def after_update(self, progress: Progress) -> None:
        """What follows the optimiser step, such as moving an average teacher. Default: nothing."""

    @abstractmethod
    def exported(self) -> dict[str, Tensor]:
        """The weights to keep: names as in the segmentation network, nothing of any head."""
