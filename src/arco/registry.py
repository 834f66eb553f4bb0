"""Finds methods, pretrainings, layouts and phantoms by the name of their file.

A file in such a package *is* the registration: `methods/arco.py` is the method `arco`. Nothing
else has to be edited to add one, and only the file that is asked for gets imported.
"""

from __future__ import annotations

import ast
import difflib
import pkgutil
from functools import cache
from importlib import import_module, resources
from types import ModuleType

from arco import fields
from arco.errors import ArcoError


@cache
def names(package: str) -> tuple[str, ...]:
    """The entries of `arco.<package>`, sorted, without importing any of them."""
    root = resources.files("arco").joinpath(package)
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(root)])))


def require(package: str, name: str, used_by: str) -> None:
    """Check that `name` is an entry of `package`.

    Raises:
        ArcoError: it is not; the message lists the known ones and names `used_by`.
    """
    known = names(package)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        raise ArcoError(f"{used_by}: there is no {name!r} in {package}; {hint}")


def load(package: str, name: str) -> ModuleType:
    """Import one entry.

    Raises:
        ArcoError: no such entry.
    """
    require(package, name, package)
    return import_module(f"arco.{package.replace('/', '.')}.{name}")


@cache
def settings_class(package: str, name: str) -> type[fields.Settings]:
    """The `Settings` class of an entry, read from its file without importing it.

    Methods import torch, which takes seconds; planning must not. The class statement is compiled
    by itself, with the names of `arco.fields` (and `Literal`, `Field`) in scope and nothing else,
    so a settings class may use only those.

    Raises:
        ArcoError: no such entry.
        TypeError: the file defines no `Settings` class (a mistake in the entry itself).
    """
    require(package, name, package)
    path = resources.files("arco").joinpath(package, f"{name}.py")
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Settings":
            break
    else:
        raise TypeError(f"{path} defines no class Settings")
    namespace = {
        name: value
        for name, value in vars(fields).items()
        if not name.startswith("__") and name != "Settings"
    }
    namespace |= {"fields": fields, "__name__": f"arco.{package.replace('/', '.')}.{name}"}
    # dont_inherit: annotations are evaluated here, where their names are in scope.
    code = compile(ast.Module([node], []), str(path), "exec", dont_inherit=True)
    exec(code, namespace)  # our own source file
    found = namespace["Settings"]
    if not (isinstance(found, type) and issubclass(found, fields.Settings)):
        raise TypeError(f"{path}: class Settings must derive from arco.fields.Settings")
    return found
