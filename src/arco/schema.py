"""The sections of params.yaml: every key, its type and its range. Loads no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from arco.fields import (
    Fraction,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    Sampler,
    Settings,
)

SCALES = ("demo", "smoke", "paper")
Scale = Literal["demo", "smoke", "paper"]
NETWORK_STRIDE = 16


class Paths(Settings):
    """Roots below which artefacts lie, relative to the folder of params.yaml."""

    data: str
    results: str
    splits: str
    work: str


class Runtime(Settings):
    """How the machine is used; never part of what identifies a result."""

    device: Literal["auto", "cpu", "cuda"]
    threads: PositiveInt
    checkpoint_seconds: NonNegative


class Versions(Settings):
    """Raised by hand when the code of a stage changes what the stage makes."""

    phantom: PositiveInt
    prepare: PositiveInt
    pretrain: PositiveInt
    finetune: PositiveInt
    evaluate: PositiveInt
    report: PositiveInt


class Split(Settings):
    """Patients in each part, and the seed of the permutation that assigns them."""

    train: PositiveInt
    val: NonNegativeInt
    test: PositiveInt
    seed: NonNegativeInt


class Budget(Settings):
    """How much of the training set is labeled.

    `slices` below 1 labels only that share of the slices of each labeled scan, for budgets below
    one patient.
    """

    patients: PositiveInt
    slices: Annotated[float, Field(gt=0, le=1)]


class Phantom(Settings):
    """Synthetic patients to write, and the seed they are drawn from."""

    patients: PositiveInt
    seed: NonNegativeInt


class Crop(Settings):
    """The box of a volume that is prepared; axes [z, y, x]. See `arco.data.cropping`.

    `region` is what the box encloses: `center`, the middle of the scan, or `label`, all foreground
    of its label map (of test scans too). It is at least `size_mm` long, null for the whole axis,
    plus `margin_mm` on both sides.
    """

    region: Literal["center", "label"]
    size_mm: Annotated[list[Positive | None], Field(min_length=3, max_length=3)]
    margin_mm: Annotated[list[NonNegative], Field(min_length=3, max_length=3)]


class Changes(Settings):
    """What single datasets, or all of three spatial axes, change in the sections of these names."""

    augmentation: dict[str, Any] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    pretraining: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Volumes(Changes):
    """What datasets of three spatial axes change."""

    training: dict[str, Any] = Field(default_factory=dict)


class Dataset(Settings):
    """One dataset: where its files are, how they are prepared, who is labeled.

    With two spatial axes `image_size` is the [H, W] that slices are resized to. With three it is
    the [Z, H, W] of the patches that training and sliding-window inference cut out of volumes, and
    `spacing_mm` the [z, y, x] that volumes are resampled to; null keeps the file's own spacing.
    `crop` prepares only a part of each volume; null prepares all of it.
    `slices` says along which axis two spatial axes are cut out of a volume: `file`, the last of the
    file, or `axial`, from the feet to the head, where files of one dataset lie in different ways.
    `label_aliases` names further values of the label files and the class value each stands for.
    `training` replaces single keys of every method's training settings on this dataset, and
    `changes` single keys of augmentation, of methods and of pretrainings.
    """

    title: str
    layout: str
    source: Literal["raw", "phantom"]
    root: str
    subsets: list[str]
    classes: dict[str, NonNegativeInt]
    label_aliases: dict[NonNegativeInt, NonNegativeInt] = Field(default_factory=dict)
    spatial_axes: Literal[2, 3]
    slices: Literal["file", "axial"] = "file"
    image_size: Annotated[list[PositiveInt], Field(min_length=2, max_length=3)]
    spacing_mm: Annotated[list[Positive], Field(min_length=3, max_length=3)] | None = None
    crop: Crop | None = None
    intensity_window: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    split: Split
    labels: dict[str, Budget]
    training: dict[str, Any] = Field(default_factory=dict)
    changes: Changes = Changes()
    phantom: Phantom

    @model_validator(mode="after")
    def _sizes_fit(self) -> Dataset:
        axes, size = self.spatial_axes, self.image_size
        if len(size) != axes:
            raise ValueError(f"image_size needs {axes} numbers, one for each spatial axis")
        if any(length % NETWORK_STRIDE for length in size):
            raise ValueError(
                f"image_size must be multiples of {NETWORK_STRIDE}, as the network halves its "
                "images four times"
            )
        if self.spacing_mm is not None and axes == 2:
            raise ValueError("spacing_mm is for three spatial axes; slices go by image_size")
        if self.crop is not None and axes == 2:
            raise ValueError("crop is for three spatial axes; slices are prepared whole")
        if self.slices != "file" and axes == 3:
            raise ValueError("slices is for two spatial axes; volumes are always turned alike")
        return self

    @model_validator(mode="after")
    def _aliases_are_of_classes(self) -> Dataset:
        known = set(self.classes.values())
        for alias, value in self.label_aliases.items():
            if alias in known:
                raise ValueError(f"label_aliases: {alias} is the value of a class; remove it")
            if value not in known:
                raise ValueError(
                    f"label_aliases: {alias} stands for {value}, which no class has; write one of "
                    f"{', '.join(map(str, self.classes.values()))}"
                )
        return self


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
    """Optimiser and its constants; `momentum` and `nesterov` are read by SGD and LARS."""

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

    `mixed_precision` lets networks compute in bfloat16 on a GPU; a CPU always takes float32.
    """

    epochs: PositiveInt
    iterations: PositiveInt | None
    batch: BatchSizes
    optimizer: Optimizer
    schedule: Schedule
    mixed_precision: bool
    log_every: PositiveInt


class Recipe(Settings):
    """A named row of a table: what is trained. `set` changes single values by dotted key."""

    method: str
    pretraining: str = "none"
    sampler: Sampler | None = None
    labels: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)


class Score(Settings):
    """A printed score: a column of metrics.csv, scaled, with its decimals and its best end."""

    score: Literal[
        "dice", "jaccard", "assd_voxel", "assd_mm", "asd_voxel", "asd_mm", "hd95_voxel", "hd95_mm"
    ]
    label: str
    best: Literal["high", "low"]


class Row(Settings):
    """A printed row; rows of one `category` stand together.

    `bound` rows are an upper or lower bound: printed, but never marked as best or second best.
    """

    recipe: str
    label: str
    category: str = ""
    bound: bool = False


class Table(Settings):
    """What a table shows: a block of columns per dataset and labels entry, classes x scores each.

    Labels entries must be known to every one of several datasets, and so must classes, unless they
    are given by dataset; `average` always is. In a `stacked` table (Table 6) labels entries stand
    below each other instead of side by side, each with all rows.
    """

    title: str
    caption: str
    datasets: Annotated[list[str], Field(min_length=1)]
    labels: list[str]
    classes: list[str] | dict[str, list[str]]
    scores: list[Score]
    style: Literal["columns", "pairs"]
    stacked: bool = False
    rows: list[Row]

    @model_validator(mode="after")
    def _fits_together(self) -> Table:
        if isinstance(self.classes, dict) and set(self.classes) != set(self.datasets):
            raise ValueError("classes, where given by dataset, needs an entry for each of datasets")
        if self.stacked and any(row.category for row in self.rows):
            raise ValueError("a stacked table groups its rows by labels entry; remove category")
        return self

    def classes_of(self, dataset: str) -> list[str]:
        """The classes shown of a dataset."""
        return self.classes[dataset] if isinstance(self.classes, dict) else self.classes


class Sweep(Settings):
    """One panel of a sweep figure: `recipe` repeated with `key` set to each of `values`."""

    label: str
    recipe: str
    key: str
    values: list[float]


class Figure(Settings):
    """A sweep figure (Fig. 20): scores over the values of single parameters."""

    title: str
    caption: str
    kind: Literal["sweep"]
    dataset: str
    labels: str
    part: Literal["val", "test"]
    scores: list[Score]
    sweeps: list[Sweep]


class Sections(Settings):
    """The top level of params.yaml, entries of open sections still untyped."""

    scale: Scale
    protocol: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)]
    paths: Paths
    runtime: Runtime
    versions: Versions
    datasets: dict[str, Dataset]
    networks: Networks
    window: Window
    augmentation: Augmentation
    training: Training
    methods: dict[str, dict[str, Any]]
    pretraining: dict[str, dict[str, Any]]
    volumes: Volumes
    recipes: dict[str, dict[str, Any]]
    tables: dict[str, Table]
    figures: dict[str, Figure]
    scales: dict[Scale, dict[str, Any]]
