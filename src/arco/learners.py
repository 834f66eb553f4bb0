"""Methods and pretrainings as one dataset, or all of three spatial axes, train them. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arco import registry
from arco.errors import ArcoError
from arco.schema.training import Augmentation, Training
from arco.trees import Tree, checked, known, merged

LENGTH = ("epochs", "iterations")
"""Keys of a dataset's `training` that its pretrainings do not take over: their length is theirs."""

OF_FINE_TUNING = ("validate_every", "average_decay", "snapshots")
"""Keys of `training` that no pretraining takes over, wherever they stand."""


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


class Learners:
    """The methods and pretrainings as they run on slices, on volumes, or on a single dataset.

    Attributes:
        augmentation: of fine-tuning.
        methods, pretrainings: the typed entries by name.
    """

    def __init__(self, tree: Tree, of_dataset: Mapping[str, Any] | None = None) -> None:
        """Check the entries.

        Args:
            tree: all sections, with what volumes or the dataset change in them.
            of_dataset: the dataset's `training`, which pretrainings take over where their own
                entries say nothing else; the methods' is put together recipe by recipe.

        Raises:
            ArcoError: an unknown name or key, a wrong type, an impossible value.
        """
        self._training = checked(Training, tree["training"], "training")
        shared = merged(self._training.model_dump(), _without(of_dataset or {}, LENGTH))
        self._of_pretraining = _without(shared, OF_FINE_TUNING)
        self.augmentation = checked(Augmentation, tree["augmentation"], "augmentation")
        self.methods = {
            name: self._method(name, entry) for name, entry in entries_of(tree, "methods")
        }
        self.pretrainings = {
            name: self._pretraining(name, entry) for name, entry in entries_of(tree, "pretraining")
        }

    def _method(self, name: str, entry: Tree) -> Method:
        key, entry = f"methods.{name}", dict(entry)
        registry.require("methods", name, key)
        training = merged(self._training.model_dump(), entry.pop("training", {}))
        settings = checked(registry.settings_class("methods", name), entry, key)
        return Method(name, checked(Training, training, f"{key}.training"), settings.model_dump())

    def _pretraining(self, name: str, entry: Tree) -> Pretraining:
        key, entry = f"pretraining.{name}", dict(entry)
        framework = entry.pop("framework", name)
        registry.require("pretraining", framework, f"{key}.framework")
        uses_labels = entry.pop("uses_labels", None)
        if not isinstance(uses_labels, bool):
            raise ArcoError(f"{key}.uses_labels must be true or false; say whether it reads labels")
        training = merged(self._of_pretraining, _own(entry.pop("training", {})))
        if training.get("validate_every"):
            raise ArcoError(
                f"params.yaml: {key}.training.validate_every: only fine-tuning has a validation "
                "curve; remove it"
            )
        augmentation = merged(self.augmentation.model_dump(), entry.pop("augmentation", {}))
        settings = checked(registry.settings_class("pretraining", framework), entry, key)
        return Pretraining(
            name,
            framework,
            uses_labels,
            checked(Training, training, f"{key}.training"),
            checked(Augmentation, augmentation, f"{key}.augmentation"),
            settings.model_dump(),
        )


def entries_of(tree: Tree, section: str) -> list[tuple[str, Tree]]:
    """The entries of an open section, each merged over the entry its `base` names.

    Raises:
        ArcoError: a `base` that does not exist, or that leads back to itself.
    """
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


def _without(tree: Mapping[str, Any], keys: Sequence[str]) -> Tree:
    return {key: value for key, value in tree.items() if key not in keys}


def _own(training: Any) -> Any:
    """What a pretraining's entry says itself of batch, optimizer and schedule: all but its nulls.

    With a null a scale gives back to fine-tuning what the file took from it.
    """
    if not isinstance(training, Mapping):
        return training
    return {
        key: {name: number for name, number in value.items() if number is not None}
        if isinstance(value, Mapping)
        else value
        for key, value in training.items()
    }
