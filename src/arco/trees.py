"""Trees of plain values, as YAML gives them: layering, looking up, validating. Loads no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from arco import files
from arco.errors import ArcoError
from arco.fields import Settings

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is built
Tree = dict[str, Any]
SettingsType = TypeVar("SettingsType", bound=Settings)
Entry = TypeVar("Entry")


def read_yaml(path: Path) -> Tree:
    """A YAML file whose top level is a mapping.

    Raises:
        ArcoError: missing file, invalid YAML, or another top level.
    """
    try:
        content = yaml.load(files.read_text(path), Loader)
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


def assign(tree: Tree, dotted: str, value: Any, key: str) -> None:
    """Replace one value of a tree, in place.

    Args:
        tree: changed.
        dotted: where the value stands, such as `method.lambda1`.
        value: the new one.
        key: the key of params.yaml that asks for it, for messages.

    Raises:
        ArcoError: there is no such place.
    """
    *parents, last = dotted.split(".")
    node = tree
    for part in parents:
        node = known(node, part, "key", key)
        if not isinstance(node, dict):
            raise ArcoError(f"params.yaml: {key}: {dotted} goes below a single value")
    known(node, last, "key", key)
    node[last] = value


def known(entries: Mapping[str, Entry], name: str, noun: str, used_by: str) -> Entry:
    """`entries[name]`; an unknown name is an ArcoError that lists or suggests the known ones."""
    if name in entries:
        return entries[name]
    close = difflib.get_close_matches(str(name), list(entries), n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(entries) or 'none'}"
    raise ArcoError(f"params.yaml: {used_by}: there is no {noun} {name!r}; {hint}")


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


def _explanation(model: type[Settings], error: Any) -> str:
    """What pydantic found, in words that say what to write instead."""
    value, kind = error["input"], error["type"]
    if kind == "extra_forbidden":
        name = str(error["loc"][-1])
        close = difflib.get_close_matches(name, _field_names(model), n=1)
        return "unknown key; " + (f"did you mean {close[0]}?" if close else "remove it")
    if kind == "missing":
        return "this key is missing; add it"
    message = str(error["msg"]).removeprefix("Value error, ")
    if kind == "value_error":
        return message
    if kind in ("float_type", "int_type") and isinstance(value, str):
        return _about_text(value)
    if isinstance(value, (dict, list)) and len(str(value)) > 60:
        return f"{message[0].lower()}{message[1:]}"
    return f"{message[0].lower()}{message[1:]}, not {value!r}"


def _about_text(value: str) -> str:
    try:
        return f"the text {value!r} is not a number in YAML; write {float(value)!r}"
    except ValueError:
        return f"must be a number, not the text {value!r}"


def _field_names(model: type[Settings]) -> list[str]:
    """All field names of a model and of the models inside it, for suggestions."""
    found = list(model.model_fields)
    for field in model.model_fields.values():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            found += _field_names(annotation)
    return found
