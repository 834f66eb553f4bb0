"""Datasets: files, preparation, splits, label budgets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from arco.fields import NonNegative, NonNegativeInt, Positive, PositiveInt, Settings

NETWORK_STRIDE = 16
Percentage = Annotated[float, Field(ge=0, le=100)]


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
    `intensity_window` truncates a scan to [low, high] in the units of its file, and after that
    `intensity_percentiles` to [low, high] percent of its own voxels; null truncates nothing.
    `slices` says along which axis two spatial axes are cut out of a volume: `file`, the last of the
    file, or `axial`, from the feet to the head, where files of one dataset lie in different ways.
    `label_aliases` names further values of the label files and the class value each stands for.
    `training` replaces single keys of every method's training settings on this dataset, and, but
    for the length of the run, what its pretrainings do not say themselves; `changes` replaces
    single keys of augmentation, of methods and of pretrainings.
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
    intensity_percentiles: Annotated[list[Percentage], Field(min_length=2, max_length=2)] | None = (
        None
    )
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
    def _percentiles_rise(self) -> Dataset:
        if self.intensity_percentiles is not None:
            low, high = self.intensity_percentiles
            if low >= high:
                raise ValueError(
                    f"intensity_percentiles: {low:g} is not below {high:g}; write the lower "
                    "percentage first"
                )
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
