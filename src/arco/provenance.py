"""Where a result comes from: code, versions, machine, and the conditions a reader must know."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import arco

DISTRIBUTIONS = ("torch", "numpy", "SimpleITK", "snakemake")
GIT_SECONDS = 20
HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")
"""Set inside a git hook, where they point at the hook's repository whatever folder is asked for."""


def provenance(package: Path | None = None) -> dict[str, Any]:
    """What made a result: commit, versions, machine; plain values, ready for JSON.

    There is no date and no host name: making the same result twice from the same code on the same
    kind of machine gives the same bytes, which is what DVC and a careful reader compare.

    Args:
        package: the folder whose git state is told; default, the installed `arco` package.

    Returns:
        `commit` is None unless git tracks the package's files; `modified` says whether they
        differ from that commit (None without one). A package that is not installed has version
        None.
    """
    folder = package or Path(arco.__file__).parent
    commit = _git(folder, "rev-parse", "HEAD") if _git(folder, "ls-files", "--", ".") else None
    # Only the package's own files count: results that DVC records elsewhere change all the time.
    changes = _git(folder, "status", "--porcelain", "--", ".") if commit else None
    return {
        "commit": commit,
        "modified": None if changes is None else changes != "",
        "versions": {
            "arco": arco.__version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in DISTRIBUTIONS},
        },
        "machine": f"{platform.system()} {platform.machine()}",
    }


def conditions(settings: Mapping[str, Any]) -> str:
    """The sentence that keeps phantoms from being mistaken for patients.

    Args:
        settings: reads scale, protocol, datasets and seeds of a report's settings.
    """
    scale = settings["scale"]
    data = "; ".join(
        f"synthetic phantoms in the layout of {title}, not {title} itself"
        if source == "phantom"
        else title
        for title, source in ((d["title"], d["source"]) for d in settings["datasets"].values())
    )
    seeds = settings["seeds"]
    return (
        f"Data: {data}. Scale: {scale}"
        + ("" if scale == "paper" else " (shortened training, not comparable with the paper)")
        + f". Protocol: {settings['protocol']}. "
        + ("Seed: " if len(seeds) == 1 else "Seeds: ")
        + f"{', '.join(map(str, seeds))}."
    )


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, stripped; None where there is no git, no repository, or no answer."""
    environment = {name: text for name, text in os.environ.items() if name not in HOOK_VARIABLES}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # looking must not lock out a commit made meanwhile
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=GIT_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return answer.stdout.strip()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
