"""The top level of params.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from arco.fields import NonNegative, NonNegativeInt, PositiveInt, Settings
from arco.schema.datasets import Dataset, Volumes
from arco.schema.reports import Bootstrap, Comparison, Figure, Table
from arco.schema.training import Augmentation, Networks, Training, Window

SCALES = ("demo", "smoke", "paper")
Scale = Literal["demo", "smoke", "paper"]


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
    variance: PositiveInt
    report: PositiveInt


class Variance(Settings):
    """How the samplers' variances are measured at the snapshots of a run, see `arco variance`.

    Each of `batches` training batches is drawn from `query_draws` times against fixed negatives,
    and `training_draws` times, each with a backward pass, with negatives drawn anew. `block` draws
    give one estimate of a variance; how far these lie apart tells the error of their mean.
    """

    batches: PositiveInt
    query_draws: PositiveInt
    training_draws: PositiveInt
    block: Annotated[int, Field(ge=2)]
    seed: NonNegativeInt

    @model_validator(mode="after")
    def _blocks_fit(self) -> Variance:
        for name in ("query_draws", "training_draws"):
            draws = getattr(self, name)
            if draws % self.block or draws < 2 * self.block:
                raise ValueError(
                    f"{name} is {draws} but must be two or more times block, {self.block}; change "
                    "either"
                )
        return self


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
    comparisons: dict[str, Comparison]
    bootstrap: Bootstrap
    figures: dict[str, Figure]
    variance: Variance
    scales: dict[Scale, dict[str, Any]]
