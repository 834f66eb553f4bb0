"""params.yaml, typed and validated once. Loads no torch.

Three layers, weakest first: the file itself, its `scales` section of the chosen scale, and an
overlay (a protocol file, `--config`). A mistake stops here, before the first job, with a sentence
that names the key and the fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from arco import files, registry
from arco.errors import ArcoError
from arco.fields import Settings
from arco.schema import (
    SCALES,
    Augmentation,
    Dataset,
    Recipe,
    Sections,
    Sweep,
    Table,
    Training,
)

Tree = dict[str, Any]
SettingsType = TypeVar("SettingsType", bound=Settings)
Entry = TypeVar("Entry")
OPEN_SECTIONS = ("datasets", "methods", "pretraining", "recipes", "tables", "figures")


@dataclass(frozen=True)
class Method:
    """A fine-tuning method with the training settings and method settings that it reads."""

    name: str
    training: Training
    settings: Tree


@dataclass(frozen=True)
class Pretraining:
    """A pretraining with all that it reads; `framework` is the file that implements it."""

    name: str
    framework: str
    uses_labels: bool
    training: Training
    augmentation: Augmentation
    settings: Tree


class Parameters:
    """All parameters of one run of the project, resolved and checked.

    Attributes:
        root: folder of params.yaml; relative paths start there.
        sections: the typed sections.
        methods, pretrainings, recipes: the typed entries of the open sections.
    """

    def __init__(self, tree: Tree, root: Path) -> None:
        self.root = root
        self.sections = checked(Sections, tree, "params.yaml")
        self.methods = {name: self._method(name, dict(e)) for name, e in _entries(tree, "methods")}
        self.pretrainings = {
            name: self._pretraining(name, entry) for name, entry in _entries(tree, "pretraining")
        }
        self.recipes = {
            name: checked(Recipe, entry, f"recipes.{name}")
            for name, entry in _entries(tree, "recipes")
        }
        self._check_references()

    @cached_property
    def variant(self) -> str:
        """Folder name of the scale, with the protocol where it is not the default one."""
        protocol = self.sections.protocol
        return self.sections.scale + (f"-{protocol}" if protocol != "default" else "")

    def _method(self, name: str, entry: Tree) -> Method:
        key = f"methods.{name}"
        registry.require("methods", name, key)
        training = merged(self.sections.training.model_dump(), entry.pop("training", {}))
        settings = checked(registry.settings_class("methods", name), entry, key)
        return Method(name, checked(Training, training, f"{key}.training"), settings.model_dump())

    def _pretraining(self, name: str, entry: Tree) -> Pretraining:
        key = f"pretraining.{name}"
        entry = dict(entry)
        framework = entry.pop("framework", name)
        registry.require("pretraining", framework, f"{key}.framework")
        uses_labels = entry.pop("uses_labels", None)
        if not isinstance(uses_labels, bool):
            raise ArcoError(f"{key}.uses_labels must be true or false; say whether it reads labels")
        training = merged(self.sections.training.model_dump(), entry.pop("training", {}))
        augmentation = merged(
            self.sections.augmentation.model_dump(), entry.pop("augmentation", {})
        )
        settings = checked(registry.settings_class("pretraining", framework), entry, key)
        return Pretraining(
            name,
            framework,
            uses_labels,
            checked(Training, training, f"{key}.training"),
            checked(Augmentation, augmentation, f"{key}.augmentation"),
            settings.model_dump(),
        )

    def dataset(self, name: str, used_by: str = "datasets") -> Dataset:
        """The dataset called `name`; an unknown one is an ArcoError naming `used_by`."""
        return known(self.sections.datasets, name, "dataset", used_by)

    def recipe(self, name: str, used_by: str = "recipes") -> Recipe:
        """The recipe called `name`; an unknown one is an ArcoError naming `used_by`."""
        return known(self.recipes, name, "recipe", used_by)

    def _check_references(self) -> None:
        for name, dataset in self.sections.datasets.items():
            key = f"datasets.{name}"
            registry.require("data/layouts", dataset.layout, f"{key}.layout")
            _check_dataset(dataset, key)
            training = merged(self.sections.training.model_dump(), dataset.training)
            checked(Training, training, f"{key}.training")
        for name, recipe in self.recipes.items():
            key = f"recipes.{name}"
            known(self.methods, recipe.method, "method", f"{key}.method")
            if recipe.pretraining != "none":
                known(self.pretrainings, recipe.pretraining, "pretraining", f"{key}.pretraining")
            self.resolve(recipe, key)
        for name, table in self.sections.tables.items():
            key = f"tables.{name}"
            self._check_columns(table, key)
            for row in table.rows:
                self.recipe(row.recipe, f"{key}.rows")
        for name, figure in self.sections.figures.items():
            key = f"figures.{name}"
            dataset = self.dataset(figure.dataset, f"{key}.dataset")
            known(dataset.labels, figure.labels, "labels entry", f"{key}.labels")
            for sweep in figure.sweeps:
                for value in sweep.values:
                    self.resolve(self.swept(sweep, value), f"{key}.sweeps")

    def _check_columns(self, table: Table, key: str) -> None:
        dataset = self.dataset(table.dataset, f"{key}.dataset")
        for labels in table.labels:
            known(dataset.labels, labels, "labels entry", f"{key}.labels")
        for name in table.classes:
            if name != "average":
                known(dataset.classes, name, "class", f"{key}.classes")

    def swept(self, sweep: Sweep, value: float) -> Recipe:
        """The recipe of one point of a sweep."""
        recipe = self.recipe(sweep.recipe, "figures")
        return recipe.model_copy(update={"set": recipe.set | {sweep.key: value}})

    def resolve(self, recipe: Recipe, key: str, dataset: Dataset | None = None) -> Tree:
        """Every value that fine-tuning by `recipe` reads, `set` applied and checked.

        What is more special wins: the method's training settings over the general ones, those of
        `dataset` over the method's, and the recipe's over both.

        Returns:
            A tree with the keys training, augmentation and method (its name included).

        Raises:
            ArcoError: `set` names an unknown key or an impossible value.
        """
        method = self.methods[recipe.method]
        settings = dict(method.settings)
        if recipe.sampler is not None:
            if "sampler" not in settings:
                raise ArcoError(f"{key}.sampler: the method {method.name} draws nothing; remove it")
            settings["sampler"] = recipe.sampler
        tree: Tree = {
            "training": merged(
                method.training.model_dump(), dataset.training if dataset is not None else {}
            ),
            "augmentation": self.sections.augmentation.model_dump(),
            "method": settings,
        }
        for dotted, value in recipe.set.items():
            _assign(tree, dotted, value, f"{key}.set")
        models: dict[str, type[Settings]] = {
            "training": Training,
            "augmentation": Augmentation,
            "method": registry.settings_class("methods", method.name),
        }
        for name, model in models.items():
            tree[name] = checked(model, tree[name], f"{key}.set: {name}").model_dump()
        tree["method"] = {"name": method.name, **tree["method"]}
        return tree


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
        _check_entry_names(file, scales[name] or {}, f"scales.{name}")
        tree = merged(merged(file, scales[name] or {}), overlay)
        tree["scales"] = {key: {} for key in SCALES}
        loaded[name] = Parameters(tree | {"scale": name}, path.resolve().parent)
    return loaded[scale]


def read_yaml(path: Path) -> Tree:
    """A YAML file whose top level is a mapping.

    Raises:
        ArcoError: missing file, invalid YAML, or another top level.
    """
    try:
        content = yaml.safe_load(files.read_text(path))
    except yaml.YAMLError as error:
        raise ArcoError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ArcoError(f"{path} must hold keys and values at its top level")
    return content


def typed(overlay: Mapping[str, Any]) -> Tree:
    """`overlay` with text that YAML reads as a number or truth value turned into one.

    Snakemake hands over the leaves of `--config key='{...}'` as text, whatever they are.
    """

    def leaf(value: Any) -> Any:
        if isinstance(value, Mapping):
            return typed(value)
        if isinstance(value, list):
            return [leaf(item) for item in value]
        if isinstance(value, str):
            read = yaml.safe_load(value) if value.strip() else value
            return read if isinstance(read, (bool, int, float)) or value == "null" else value
        return value

    return {key: leaf(value) for key, value in overlay.items()}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tree:
    """`base` with the values of `over`, mappings merged key by key, all else replaced."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def checked(model: type[SettingsType], tree: Any, key: str) -> SettingsType:
    """`tree` as `model`.

    Raises:
        ArcoError: the first thing that is wrong with it, by its full key.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join([key, *(str(part) for part in first["loc"])]).replace("params.yaml.", "")
        raise ArcoError(f"params.yaml: {where}: {_explanation(model, first)}") from error


def known(entries: Mapping[str, Entry], name: str, noun: str, used_by: str) -> Entry:
    """`entries[name]`; an unknown name is an ArcoError that lists or suggests the known ones."""
    if name in entries:
        return entries[name]
    close = difflib.get_close_matches(str(name), list(entries), n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(entries) or 'none'}"
    raise ArcoError(f"params.yaml: {used_by}: there is no {noun} {name!r}; {hint}")


def _entries(tree: Tree, section: str) -> list[tuple[str, Tree]]:
    """The entries of an open section, each merged over the entry its `base` names."""
    entries = tree[section]

    def with_base(name: str, seen: tuple[str, ...]) -> Tree:
        entry = dict(entries[name])
        base = entry.pop("base", None)
        if base is None:
            return entry
        if base in seen:
            raise ArcoError(f"params.yaml: {section}.{name}.base: {base} is based on itself")
        known(entries, base, "entry", f"{section}.{name}.base")
        inherited = with_base(base, (*seen, base))
        if section == "pretraining":
            inherited.setdefault("framework", base)
        return merged(inherited, entry)

    return [(name, with_base(name, (name,))) for name in entries]


def _assign(tree: Tree, dotted: str, value: Any, key: str) -> None:
    *parents, last = dotted.split(".")
    node = tree
    for part in parents:
        node = known(node, part, "key", key)
        if not isinstance(node, dict):
            raise ArcoError(f"params.yaml: {key}: {dotted} goes below a single value")
    known(node, last, "key", key)
    node[last] = value


def _check_entry_names(base: Tree, over: Tree, key: str) -> None:
    """A scale changes entries that exist: a new entry in it is a typing mistake."""
    for section in OPEN_SECTIONS:
        for name in over.get(section) or {}:
            known(base[section], name, "entry", f"{key}.{section}")


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


def _explanation(model: type[Settings], error: Any) -> str:
    """What pydantic found, in words that say what to write instead."""
    value, kind = error["input"], error["type"]
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        close = difflib.get_close_matches(name, _field_names(model), n=1)
        return "unknown key; " + (f"did you mean {close[0]}?" if close else "remove it")
    if kind == "missing":
        return "this key is missing; add it"
    if kind in ("float_type", "int_type") and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return f"must be a number, not the text {value!r}"
        return f"the text {value!r} is not a number in YAML; write {number!r}"
    if isinstance(value, (dict, list)) and len(str(value)) > 60:
        return f"{error['msg'][0].lower()}{error['msg'][1:]}"
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, not {value!r}"


def _field_names(model: type[Settings]) -> list[str]:
    """All field names of a model and of the models inside it, for suggestions."""
    found = list(model.model_fields)
    for field in model.model_fields.values():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            found += _field_names(annotation)
    return found
