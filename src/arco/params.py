"""params.yaml, typed and validated once. Loads no torch.

Three layers, weakest first: the file itself, its `scales` section of the chosen scale, and an
overlay (a protocol file, `--config`). A mistake stops here, before the first job, with a sentence
that names the key and the fix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from arco import registry
from arco.errors import ArcoError
from arco.learners import Learners, Pretraining, entries_of
from arco.schema.datasets import Changes, Dataset
from arco.schema.reports import Comparison, Recipe, Sweep, Table, labels_of
from arco.schema.sections import SCALES, Sections
from arco.schema.training import Augmentation, Training
from arco.trees import Tree, assign, checked, known, merged, read_yaml

OPEN_SECTIONS = (
    "datasets", "methods", "pretraining", "recipes", "tables", "comparisons", "figures",
)  # fmt: skip


class Parameters:
    """All parameters of one run of the project, resolved and checked.

    Attributes:
        root: folder of params.yaml; relative paths start there.
        sections: the typed sections.
        learners: methods and pretrainings by the number of spatial axes they run on, 2 or 3.
        recipes: the typed recipes by name.
    """

    def __init__(self, tree: Tree, root: Path) -> None:
        self.root = root
        self.sections = checked(Sections, tree, "params.yaml")
        trees = {2: tree, 3: _changed(tree, self.sections.volumes, "volumes")}
        self.learners = {axes: Learners(sections) for axes, sections in trees.items()}
        self._learners_of = {
            name: self._learners(trees[dataset.spatial_axes], dataset, f"datasets.{name}")
            for name, dataset in self.sections.datasets.items()
            if dataset.changes != Changes() or dataset.training
        }
        self.recipes = {
            name: checked(Recipe, entry, f"recipes.{name}")
            for name, entry in entries_of(tree, "recipes")
        }
        self._check_references()

    def _learners(self, tree: Tree, dataset: Dataset, key: str) -> Learners:
        """The learners of a dataset that changes something in the sections `tree`."""
        training = merged(self.sections.training.model_dump(), dataset.training)
        checked(Training, training, f"{key}.training")
        return Learners(_changed(tree, dataset.changes, f"{key}.changes"), dataset.training)

    @cached_property
    def variant(self) -> str:
        """Folder name of the scale, with the protocol where it is not the default one."""
        protocol = self.sections.protocol
        return self.sections.scale + (f"-{protocol}" if protocol != "default" else "")

    def dataset(self, name: str, used_by: str = "datasets") -> Dataset:
        """The dataset called `name`; an unknown one is an ArcoError naming `used_by`."""
        return known(self.sections.datasets, name, "dataset", used_by)

    def recipe(self, name: str, used_by: str = "recipes") -> Recipe:
        """The recipe called `name`; an unknown one is an ArcoError naming `used_by`."""
        return known(self.recipes, name, "recipe", used_by)

    def pretraining(self, name: str, dataset: str) -> Pretraining:
        """The pretraining called `name` as it runs on a dataset.

        Raises:
            ArcoError: there is no such pretraining or dataset.
        """
        return known(self.learners_of(dataset).pretrainings, name, "pretraining", "pretraining")

    def learners_of(self, dataset: str) -> Learners:
        """The methods and pretrainings as they run on a dataset.

        Raises:
            ArcoError: there is no such dataset.
        """
        axes = self.dataset(dataset).spatial_axes
        return self._learners_of.get(dataset, self.learners[axes])

    def _check_references(self) -> None:
        for name, dataset in self.sections.datasets.items():
            key = f"datasets.{name}"
            registry.require("data/layouts", dataset.layout, f"{key}.layout")
            _check_dataset(dataset, key)
        learners = self.learners[2]
        for name, recipe in self.recipes.items():
            key = f"recipes.{name}"
            known(learners.methods, recipe.method, "method", f"{key}.method")
            if recipe.pretraining != "none":
                entries = learners.pretrainings
                known(entries, recipe.pretraining, "pretraining", f"{key}.pretraining")
            self.resolve(recipe, key)
        for name, table in self.sections.tables.items():
            key = f"tables.{name}"
            self._check_columns(table, key)
            self._check_part(table.part, table.datasets, key)
            for row in table.rows:
                self.recipe(row.recipe, f"{key}.rows")
        self._check_comparisons()
        for name, figure in self.sections.figures.items():
            key = f"figures.{name}"
            dataset = self.dataset(figure.dataset, f"{key}.dataset")
            known(dataset.labels, figure.labels, "labels entry", f"{key}.labels")
            self._check_part(figure.part, [figure.dataset], key)
            for sweep in figure.sweeps:
                for value in sweep.values:
                    self.resolve(self.swept(sweep, value), f"{key}.sweeps")

    def _check_comparisons(self) -> None:
        for name, comparison in self.sections.comparisons.items():
            key = f"comparisons.{name}"
            if name in self.sections.tables:  # their files would be the same
                raise ArcoError(
                    f"params.yaml: {key}: there is a table {name!r}; choose another name"
                )
            self._check_labels(comparison, key)
            for row in comparison.rows:
                self.recipe(row.recipe, f"{key}.rows")

    def _check_columns(self, table: Table, key: str) -> None:
        self._check_labels(table, key)
        for dataset in table.datasets:
            for name in table.classes_of(dataset):
                if name != "average":
                    known(self.dataset(dataset).classes, name, "class", f"{key}.classes")

    def _check_labels(self, table: Table | Comparison, key: str) -> None:
        for name in table.datasets:
            dataset = self.dataset(name, f"{key}.datasets")
            for labels in labels_of(table, name):
                known(dataset.labels, labels, "labels entry", f"{key}.labels")

    def _check_part(self, part: str, datasets: Sequence[str], key: str) -> None:
        for name in datasets:
            if part == "val" and not self.dataset(name).split.val:
                raise ArcoError(
                    f"params.yaml: {key}.part is val, but datasets.{name}.split.val is 0; give it "
                    "validation cases or score the test part"
                )

    def swept(self, sweep: Sweep, value: float) -> Recipe:
        """The recipe of one point of a sweep."""
        recipe = self.recipe(sweep.recipe, "figures")
        return recipe.model_copy(update={"set": recipe.set | {sweep.key: value}})

    def resolve(self, recipe: Recipe, key: str, dataset: str | None = None) -> Tree:
        """Every value that fine-tuning by `recipe` reads, `set` applied and checked.

        What is more special wins: what `volumes` says of three spatial axes over the general
        value, `changes` of the dataset over both, the method's training settings over the general
        ones, those of the dataset over the method's, and the recipe's over all. (Of a pretraining
        it is the entry's own training settings that win over those of the dataset: `Learners`.)

        Returns:
            A tree with the keys training, augmentation and method (its name included).

        Raises:
            ArcoError: `set` names an unknown key or an impossible value.
        """
        learners = self.learners[2] if dataset is None else self.learners_of(dataset)
        of_dataset = {} if dataset is None else self.dataset(dataset).training
        method = learners.methods[recipe.method]
        settings = dict(method.settings)
        if recipe.sampler is not None:
            if "sampler" not in settings:
                raise ArcoError(f"{key}.sampler: the method {method.name} draws nothing; remove it")
            settings["sampler"] = recipe.sampler
        tree: Tree = {
            "training": merged(method.training.model_dump(), of_dataset),
            "augmentation": learners.augmentation.model_dump(),
            "method": settings,
        }
        for dotted, value in recipe.set.items():
            assign(tree, dotted, value, f"{key}.set")
        own = registry.settings_class("methods", method.name)
        training = checked(Training, tree["training"], f"{key}.set: training")
        augmentation = checked(Augmentation, tree["augmentation"], f"{key}.set: augmentation")
        constants = checked(own, tree["method"], f"{key}.set: method")
        return {
            "training": training.tree(),
            "augmentation": augmentation.model_dump(),
            "method": {"name": method.name, **constants.model_dump()},
        }


def load(path: Path, overlay: Mapping[str, Any] | None = None) -> Parameters:
    """Read and validate params.yaml.

    Args:
        path: the file.
        overlay: values that win over the file and over its scale, as nested as the file.

    Raises:
        ArcoError: unreadable YAML, unknown key, wrong type, impossible value, unknown name.
    """
    file = read_yaml(path)
    overlay = dict(overlay or {})
    combined = merged(file, overlay)
    scale = combined.get("scale")
    if scale not in SCALES:
        raise ArcoError(f"params.yaml: scale is {scale!r}; write one of {', '.join(SCALES)}")
    scales = combined.get("scales")
    if not isinstance(scales, dict) or set(scales) != set(SCALES):
        raise ArcoError(f"params.yaml: scales must hold the sections {', '.join(SCALES)}")
    overlay.pop("scales", None)
    loaded = {}
    for name in SCALES:  # the other scales too: a typo there should not wait for its first use
        # A scale changes entries that exist: a new entry in it is a typing mistake.
        changes = scales[name] or {}
        for section in OPEN_SECTIONS:
            _check_names(file[section], changes.get(section) or {}, f"scales.{name}.{section}")
        tree = merged(merged(file, changes), overlay)
        tree["scales"] = {key: {} for key in SCALES}
        loaded[name] = Parameters(tree | {"scale": name}, path.resolve().parent)
    return loaded[scale]


def _changed(tree: Tree, changes: Changes, key: str) -> Tree:
    """All sections with the `changes` that stand under `key`; entries must exist already."""
    for section in ("methods", "pretraining"):
        _check_names(tree[section], getattr(changes, section), f"{key}.{section}")
    return merged(tree, changes.model_dump())


def _check_names(base: Tree, over: Tree, key: str) -> None:
    for name in over:
        known(base, name, "entry", key)


def _check_dataset(dataset: Dataset, key: str) -> None:
    values = list(dataset.classes.values())
    if len(set(values)) != len(values) or len(values) < 2:
        raise ArcoError(f"params.yaml: {key}.classes needs at least two classes of distinct values")
    for name, budget in dataset.labels.items():
        if budget.patients > dataset.split.train:
            raise ArcoError(
                f"params.yaml: {key}.labels.{name}.patients is {budget.patients}, more than the "
                f"{dataset.split.train} training patients; lower it"
            )
