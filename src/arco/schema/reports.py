"""What is printed: recipes, tables and figures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from arco.fields import Sampler, Settings


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
