"""From tables and figures to the cells and pretrainings they need. Loads no torch.

A cell is one network: dataset x labels x recipe x seed. A pretraining that several cells start
from, and a cell that several tables show, is planned once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from arco import registry
from arco.errors import ArcoError
from arco.params import Parameters
from arco.paths import Paths, label_key
from arco.schema.datasets import Dataset
from arco.schema.reports import Comparison, Figure, Recipe, Sweep, Table, labels_of
from arco.trees import Tree, known

Printed = Table | Comparison | Figure


@dataclass(frozen=True, order=True)
class Cell:
    """One trained and evaluated network; `labels` as in paths (`1pct`)."""

    dataset: str
    labels: str
    recipe: str
    seed: int


@dataclass(frozen=True, order=True)
class PretrainingRun:
    """One pretrained checkpoint; `labels` is `all` where pretraining reads no labels."""

    dataset: str
    labels: str
    name: str
    seed: int


def canonical(tree: Tree) -> str:
    """The one JSON text of a tree of plain values: what Snakemake compares and jobs receive."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)


class Plan:
    """Everything that follows from the parameters without running anything."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.paths = Paths.of(parameters)
        self.recipes: dict[str, Recipe] = dict(parameters.recipes)
        for figure in parameters.sections.figures.values():
            for sweep in figure.sweeps:
                for value in sweep.values:
                    recipe = parameters.swept(sweep, value)
                    self.recipes.setdefault(self.swept_name(sweep, value), recipe)

    def swept_name(self, sweep: Sweep, value: float) -> str:
        """The recipe of one point of a sweep: the swept recipe itself where nothing changes."""
        parameters = self.parameters
        base = parameters.recipe(sweep.recipe)
        key = f"recipes.{sweep.recipe}"
        if parameters.resolve(parameters.swept(sweep, value), key) == parameters.resolve(base, key):
            return sweep.recipe
        return f"{sweep.recipe}_{sweep.key.rsplit('.', 1)[-1]}_{value:g}"

    def dataset(self, name: str) -> Dataset:
        """The dataset entry called `name`."""
        return self.parameters.dataset(name)

    def cell(self, dataset: str, labels: str, recipe: str, seed: int) -> Cell:
        """The cell of a recipe at a labels entry; a recipe with fixed labels keeps its own.

        Raises:
            ArcoError: unknown dataset, labels or recipe; a method that needs square images.
        """
        entry = self.dataset(dataset)
        row = known(self.recipes, recipe, "recipe", "recipes")
        wanted = row.labels or labels
        keys = [label_key(name) for name in entry.labels] + ["100pct"]
        if label_key(wanted) not in keys:
            raise ArcoError(
                f"params.yaml: datasets.{dataset}.labels has no {wanted!r}; "
                f"add it or use one of {', '.join([*entry.labels, '100%'])}"
            )
        height, width = entry.image_size[-2:]
        if height != width and registry.settings_class("methods", row.method).square_images:
            raise ArcoError(
                f"params.yaml: datasets.{dataset}.image_size is {height} x {width} in its planes, "
                f"but {row.method} needs squares; make them equal or leave {recipe} out"
            )
        return Cell(dataset, label_key(wanted), recipe, seed)

    @cached_property
    def tables(self) -> dict[str, Table | Comparison]:
        """All that is printed as a table, by the name of its files."""
        sections = self.parameters.sections
        return {**sections.tables, **sections.comparisons}

    def table_cells(self, table: Table | Comparison) -> list[Cell]:
        """The cells a table shows, in the order of its rows, each once."""
        return _unique(
            self.cell(dataset, labels, row.recipe, seed)
            for row in table.rows
            for dataset in table.datasets
            for labels in labels_of(table, dataset)
            for seed in self.parameters.sections.seeds
        )

    def figure_cells(self, figure: Figure) -> list[Cell]:
        """The cells a sweep figure shows, each once."""
        return _unique(
            self.cell(figure.dataset, figure.labels, self.swept_name(sweep, value), seed)
            for sweep in figure.sweeps
            for value in sweep.values
            for seed in self.parameters.sections.seeds
        )

    def pretraining(self, cell: Cell) -> PretrainingRun | None:
        """The pretraining a cell starts from, shared with every cell that needs the same one."""
        name = self.recipes[cell.recipe].pretraining
        if name == "none":
            return None
        entry = self.parameters.pretraining(name, cell.dataset)
        labels = cell.labels if entry.uses_labels else "all"
        return PretrainingRun(cell.dataset, labels, name, cell.seed)

    def pretrainings(self, cells: Iterable[Cell]) -> list[PretrainingRun]:
        """The pretrainings that cells need, each once."""
        return _unique(run for run in map(self.pretraining, cells) if run is not None)

    def entry_name(self, kind: str, name: str) -> str:
        """The table or figure that a name, number or result path means: `8` is `table8`.

        Raises:
            ArcoError: there is no such one.
        """
        entries = self.tables if kind == "table" else self.parameters.sections.figures
        stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        for candidate in (stem, f"{kind}{stem}"):
            if candidate in entries:
                return candidate
        raise ArcoError(f"there is no {kind} {name!r}; known: {', '.join(entries) or 'none'}")

    def printed(self, name: str) -> tuple[str, Path]:
        """The name and the Markdown file of a table, or of the variances of a cell.

        Args:
            name: of a table as in `entry_name`; or of variances, as `paths.variance_name` writes
                it, or the path of one of their files.

        Raises:
            ArcoError: there is no such table.
        """
        measured = re.fullmatch(r"(?:.*/)?([^/]+_seed[0-9]+)(?:\.[a-z]+)?", name)
        if measured:
            return measured[1], self.paths.variance(measured[1], "md")
        table = self.entry_name("table", name)
        return table, self.paths.table(table, "md")

    def entries_of(self, target: str) -> dict[str, Printed]:
        """What a target means: a table, comparison or figure by name or path, or `all`.

        Raises:
            ArcoError: no such table or figure.
        """
        sections = self.parameters.sections
        if target == "all":
            return {**self.tables, **sections.figures}
        if "figure" in target:
            name = self.entry_name("figure", target)
            return {name: sections.figures[name]}
        name = self.entry_name("table", target)
        return {name: self.tables[name]}

    def shown(self, entry: Printed) -> list[Cell]:
        """The cells that a table or figure shows, each once."""
        return self.figure_cells(entry) if isinstance(entry, Figure) else self.table_cells(entry)

    def cells_of(self, target: str) -> list[Cell]:
        """The cells behind a target, as of `entries_of`, each once."""
        return _unique(
            cell for entry in self.entries_of(target).values() for cell in self.shown(entry)
        )

    def scores_of(self, target: str) -> dict[Cell, list[Path]]:
        """The metrics files that a target reads of each of its cells: of test, val or both."""
        found: dict[Cell, list[Path]] = {}
        for entry in self.entries_of(target).values():
            for cell in self.shown(entry):
                found.setdefault(cell, []).append(self.metrics(cell, entry.part))
        return found

    def with_data(self, entries: Mapping[str, Printed]) -> list[str]:
        """Those tables or figures whose datasets are synthetic or have been downloaded."""

        def there(name: str) -> bool:
            dataset = self.dataset(name)
            return dataset.source == "phantom" or (self.parameters.root / dataset.root).is_dir()

        return [name for name, entry in entries.items() if all(map(there, datasets_of(entry)))]

    def run_folder(self, cell: Cell) -> Path:
        """Where a cell's results lie."""
        return self.paths.run(cell.dataset, cell.labels, cell.recipe, cell.seed)

    def pretrained_folder(self, run: PretrainingRun) -> Path:
        """Where a pretraining's checkpoint lies."""
        return self.paths.pretrained(run.dataset, run.labels, run.name, run.seed)

    def labeled_list(self, dataset: str, labels: str) -> Path:
        """The list of labeled cases: the training list itself at 100 %."""
        return self.paths.split(dataset, "train" if labels == "100pct" else f"labeled_{labels}")

    def prepare_settings(self, name: str) -> Tree:
        """What preparing a dataset reads."""
        dataset = self.dataset(name)
        # The size of a training patch does not change the volume it is cut from.
        size = "image_size" if dataset.spatial_axes == 2 else "spacing_mm"
        entry = dataset.model_dump(
            include={
                "layout", "source", "subsets", "classes", "spatial_axes", "intensity_window", size,
            }
        )  # fmt: skip
        # Left out where there is none, so that other datasets' jobs stay as they were.
        if dataset.intensity_percentiles is not None:
            entry["intensity_percentiles"] = dataset.intensity_percentiles
        if dataset.crop is not None:
            entry["crop"] = dataset.crop.model_dump()
        if dataset.slices != "file":
            entry["slices"] = dataset.slices
        if dataset.label_aliases:
            entry["label_aliases"] = [list(item) for item in sorted(dataset.label_aliases.items())]
        # A dict compares without regard to order, but the order of classes numbers them.
        entry["classes"] = [list(item) for item in entry["classes"].items()]
        return {"version": self.parameters.sections.versions.prepare, "dataset": name, **entry}

    def split_settings(self, name: str, labels: str | None = None) -> Tree:
        """What drawing the parts reads, or with `labels` what choosing that budget reads."""
        entry = self.dataset(name)
        version = self.parameters.sections.versions.prepare
        settings = {"version": version, "dataset": name, "split": entry.split.model_dump()}
        if labels is not None:
            budgets = {label_key(key): budget for key, budget in entry.labels.items()}
            budget = known(budgets, labels, "labels entry", f"datasets.{name}.labels")
            settings |= {"labels": labels, "budget": budget.model_dump()}
        return settings

    def _training_settings(self, stage: str, dataset: str, labels: str, seed: int) -> Tree:
        entry = self.dataset(dataset)
        return {
            "stage": stage,
            "version": getattr(self.parameters.sections.versions, stage),
            "seed": seed,
            "labels": labels,
            "dataset": {
                "name": dataset,
                "classes": list(entry.classes),
                "spatial_axes": entry.spatial_axes,
                "image_size": entry.image_size,
            },
            "network": self._network(entry),
        }

    def _network(self, dataset: Dataset) -> Tree:
        networks = self.parameters.sections.networks
        if dataset.spatial_axes == 2:
            return {"name": "unet", **networks.unet.model_dump()}
        return {"name": "vnet", **networks.vnet.model_dump()}

    def pretrain_settings(self, run: PretrainingRun) -> Tree:
        """Every value a pretraining reads, and none that it does not."""
        entry = self.parameters.pretraining(run.name, run.dataset)
        return {
            **self._training_settings("pretrain", run.dataset, run.labels, run.seed),
            "training": entry.training.tree(),
            "augmentation": entry.augmentation.model_dump(),
            "method": {"name": entry.framework, **entry.settings},
        }

    def finetune_settings(self, cell: Cell) -> Tree:
        """Every value fine-tuning a cell reads, and none that it does not."""
        recipe = known(self.recipes, cell.recipe, "recipe", "recipes")
        resolved = self.parameters.resolve(recipe, f"recipes.{cell.recipe}", cell.dataset)
        settings: Tree = {
            **self._training_settings("finetune", cell.dataset, cell.labels, cell.seed),
            "pretraining": recipe.pretraining,
            **resolved,
        }
        if not self.dataset(cell.dataset).split.val:  # nothing to draw a validation curve on
            resolved["training"].pop("validate_every", None)
        elif "validate_every" in resolved["training"]:
            settings |= self._window(cell.dataset)
        return settings

    def evaluate_settings(self, cell: Cell, part: str) -> Tree:
        """What evaluating a cell on a part (test or val) reads besides its weights."""
        version = self.parameters.sections.versions.evaluate
        settings: Tree = {"version": version, "dataset": cell.dataset, "part": part}
        return settings | self._window(cell.dataset)

    def _window(self, dataset: str) -> Tree:
        """How windows follow each other at inference; nothing over slices."""
        if self.dataset(dataset).spatial_axes == 2:
            return {}
        return {"window": self.parameters.sections.window.model_dump()}

    def metrics(self, cell: Cell, part: str) -> Path:
        """The scores of a cell on a part."""
        return self.run_folder(cell) / ("metrics.csv" if part == "test" else f"metrics_{part}.csv")


def datasets_of(entry: Printed) -> list[str]:
    """The datasets that a table, comparison or figure shows."""
    return [entry.dataset] if isinstance(entry, Figure) else entry.datasets


def _unique(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
