"""How networks are built, trained and applied."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from arco.fields import Fraction, NonNegative, NonNegativeInt, Positive, PositiveInt, Settings


class Window(Settings):
    """Sliding-window inference over volumes: windows overlap by a share, or move by a stride.

    `stride` in voxels along [Z, H, W], where it is not null, takes the place of `overlap`.
    """

    overlap: Annotated[float, Field(ge=0, lt=1)]
    stride: Annotated[list[PositiveInt], Field(min_length=3, max_length=3)] | None


class UNet(Settings):
    """The segmentation network of slices: one width and one encoder dropout rate per stage."""

    channels: Annotated[list[PositiveInt], Field(min_length=5, max_length=5)]
    dropout: Annotated[list[Fraction], Field(min_length=5, max_length=5)]


class VNet(Settings):
    """The segmentation network of volumes: a width per stage, one rate of channel dropout."""

    channels: Annotated[list[PositiveInt], Field(min_length=5, max_length=5)]
    dropout: Fraction


class Networks(Settings):
    """The network of datasets with two spatial axes, and that of datasets with three."""

    unet: UNet
    vnet: VNet


class Augmentation(Settings):
    """Random geometry of training images (Sec. C); each part can be switched off (Table 4).

    `quarter_turns` is the share of rotated images that make a quarter turn (0, 90, 180 or 270
    degrees) instead of a small rotation.
    """

    rotation: bool
    rotation_degrees: NonNegative
    quarter_turns: Fraction
    crop: bool
    crop_padding: NonNegativeInt
    flip: bool


class BatchSizes(Settings):
    """Images in a training batch.

    With `blocks` above 0 each scan is divided into so many blocks of neighboring slices, and a
    batch takes one slice of every block from as many scans as `unlabeled` allows.
    """

    labeled: NonNegativeInt
    unlabeled: NonNegativeInt
    mined: NonNegativeInt
    blocks: NonNegativeInt


class Optimizer(Settings):
    """Optimiser and its constants; `momentum` is Adam's first beta, which reads no `nesterov`."""

    name: Literal["sgd", "lars", "adam"]
    lr: Positive
    momentum: Fraction
    weight_decay: NonNegative
    nesterov: bool


class Schedule(Settings):
    """Factor on the learning rate over a run; `warm_up` is a share of the run."""

    name: Literal["poly", "step", "cosine", "constant"]
    power: NonNegative
    step_iterations: PositiveInt
    step_factor: Positive
    warm_up: Fraction


class Training(Settings):
    """One training run: its length is `iterations`, or `epochs` over the training items.

    `max_iterations`, where it is not null, bounds a run that is counted in epochs.
    `mixed_precision` lets networks compute in bfloat16 on a GPU; a CPU always takes float32.

    The rest is off by default, and no pretraining takes it over from fine-tuning. Every
    `validate_every` steps and at the end fine-tuning scores the validation part for history.csv; 0
    for never. Every `gradients_every` steps the gradient of each term is compared with that of the
    supervised one; 0 for never. With `average_decay` above 0 the exponential average of the
    exported weights over the steps is exported. At each of the shares of the run in `snapshots`
    the whole state of the method is kept.
    """

    epochs: PositiveInt
    iterations: PositiveInt | None
    max_iterations: PositiveInt | None
    batch: BatchSizes
    optimizer: Optimizer
    schedule: Schedule
    mixed_precision: bool
    log_every: PositiveInt
    validate_every: NonNegativeInt = 0
    gradients_every: NonNegativeInt = 0
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    snapshots: list[Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _validates_where_a_row_ends(self) -> Training:
        if self.validate_every % self.log_every:
            raise ValueError(
                f"validate_every is {self.validate_every} but must be a multiple of log_every, "
                f"{self.log_every}, since a row of history.csv ends there; change either"
            )
        return self

    def tree(self) -> dict[str, Any]:
        """Plain values, without what is off by default: jobs without it stay as they were."""
        return self.model_dump(exclude_defaults=True)

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimizer steps of the whole run."""
        if self.iterations is not None:
            return self.iterations
        steps = self.epochs * steps_per_epoch
        return steps if self.max_iterations is None else min(steps, self.max_iterations)
