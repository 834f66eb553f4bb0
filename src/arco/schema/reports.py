"""What is printed: recipes, tables, comparisons and figures."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from arco.fields import NonNegativeInt, PositiveInt, Sampler, Settings


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


class ComparedRow(Settings):
    """A printed row: a recipe and what it is called."""

    recipe: str
    label: str


class Row(ComparedRow):
    """A row of a table; rows of one `category` stand together.

    `bound` rows are an upper or lower bound: printed, but never marked as best or second best.
    """

    category: str = ""
    bound: bool = False


class Table(Settings):
    """What a table shows: a block of columns per dataset and labels entry, classes x scores each.

    Labels entries must be known to every one of several datasets, and so must classes, unless they
    are given by dataset; `average` always is. In a `stacked` table (Table 6) labels entries stand
    below each other instead of side by side, each with all rows. `part` says which cases are
    scored: `val` for a table that settings are chosen by (docs/tuning.md).
    """

    title: str
    caption: str
    datasets: Annotated[list[str], Field(min_length=1)]
    labels: list[str]
    classes: list[str] | dict[str, list[str]]
    scores: list[Score]
    style: Literal["columns", "pairs"]
    stacked: bool = False
    part: Literal["val", "test"] = "test"
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


class Comparison(Settings):
    """A table of differences: each row's average score against that of the recipe `against`.

    Rows are repeated for every dataset and labels entry; the one of `against` is printed first.
    Labels entries are one list for all datasets, or given by dataset.
    """

    title: str
    caption: str
    datasets: Annotated[list[str], Field(min_length=1)]
    labels: list[str] | dict[str, list[str]]
    against: str
    score: Score = Score(score="dice", label="DSC[%]", best="high")
    part: Literal["test", "val"] = "test"
    rows: Annotated[list[ComparedRow], Field(min_length=2)]

    @model_validator(mode="after")
    def _fits_together(self) -> Comparison:
        if isinstance(self.labels, dict) and set(self.labels) != set(self.datasets):
            raise ValueError("labels, where given by dataset, needs an entry for each of datasets")
        counts = Counter(row.recipe for row in self.rows)
        repeated = [recipe for recipe, count in counts.items() if count > 1]
        if repeated:
            raise ValueError(f"rows holds the recipe {repeated[0]} twice; remove one")
        if self.against not in counts:
            raise ValueError(f"against is {self.against}, which no row shows; add a row for it")
        return self


def labels_of(entry: Table | Comparison, dataset: str) -> list[str]:
    """The labels entries that a table or comparison shows of a dataset."""
    return entry.labels[dataset] if isinstance(entry.labels, dict) else entry.labels


class Bootstrap(Settings):
    """How the intervals of comparisons are drawn, see `arco.tables.bootstrap`.

    `level` is the share of resamples inside an interval.
    """

    resamples: PositiveInt
    level: Annotated[float, Field(gt=0, lt=1)]
    seed: NonNegativeInt


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
