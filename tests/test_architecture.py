"""Imports go downwards only (docs/architecture.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import arco

PACKAGE = Path(arco.__file__).parent

# From the bottom up; a room may import its own floor and those below.
FLOORS = (
    {"errors", "fields", "files", "console", "progress"},
    {"registry", "schema", "trees"},
    {"learners", "params", "paths", "plan", "jobs", "report_settings", "provenance"},
    {
        "device",
        "schedules",
        "optimizers",
        "views",
        "contrastive_views",
        "mixing",
        "sampling",
        "models",
    },
    {"contracts", "theory"},
    {"losses", "warps"},
    {"class_contrast", "class_separation", "mean_teacher", "student_views"},
    {"anatomical_contrast"},
    {"methods", "pretraining"},
    {"data"},
    {
        "averaging",
        "checkpoint",
        "evaluation",
        "gradients",
        "history",
        "snapshots",
        "training",
        "validation",
    },
    {"contrast_variance"},
    {"tables", "figures", "overview", "status", "doctor"},
    {"cli"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str:
    return module.split(".")[1]


def imports_of(path: Path) -> set[str]:
    """The rooms that a file imports when it runs; imports for type checking alone do not count."""
    rooms = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "arco":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("arco."):
            rooms.add(room_of(node.module))
        elif isinstance(node, ast.Import):
            rooms |= {room_of(a.name) for a in node.names if a.name.startswith("arco.")}
    return rooms


def test_every_room_has_a_floor():
    rooms = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    assert rooms - {"__init__", "__pycache__"} == set(FLOOR)


def test_imports_go_downwards_only():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        room = Path(parts[0]).stem
        if room == "__init__":
            continue
        wrong += [
            f"{'/'.join(parts)} imports {other}"
            for other in imports_of(path)
            if other in FLOOR and FLOOR[other] > FLOOR[room]
        ]
    assert wrong == []


def test_no_method_knows_of_files_datasets_or_the_workflow():
    forbidden = {"data", "files", "paths", "plan", "jobs", "params", "training"}
    for package in ("methods", "pretraining"):
        for path in (PACKAGE / package).glob("*.py"):
            assert not imports_of(path) & forbidden, path
