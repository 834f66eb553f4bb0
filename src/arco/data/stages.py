"""The data stages as the workflow calls them: a job of plain values in, files out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arco import files, registry
from arco.data.completeness import take_inventory
from arco.data.manifest import read_manifest
from arco.errors import ArcoError
from arco.schema.datasets import Budget, Split

if TYPE_CHECKING:
    from arco.data.cropping import Crop

LOG = logging.getLogger("arco")
MOST_NAMES = 5
"""Names of missing files in a message; `arco doctor --json` lists them all."""

Report = Callable[[int, int], None]
Job = Mapping[str, Any]


def write_phantoms(layout: str, out: Path, patients: int, seed: int, report: Report) -> None:
    """Write a synthetic dataset, and beside its folder a list of its files' checksums.

    The list `<out>.json` is what the workflow watches: a folder has no checksum of its own, and
    nothing foreign should lie inside a dataset in its original layout.

    Raises:
        ArcoError: the layout has no phantoms, or the disk refuses.
    """
    registry.load("data/phantoms", layout).write_phantoms(out, patients, seed, report)
    members = sorted(path for path in out.rglob("*") if path.is_file())
    sums = {path.relative_to(out).as_posix(): files.sha256(path) for path in members}
    files.write_json(out.with_name(f"{out.name}.json"), sums)


def prepare(job: Job, root: Path, *, workers: int, report: Report) -> None:
    """Prepare a dataset found below `root`; see `arco.data.preparation.prepare_dataset`.

    Raises:
        ArcoError: the root is missing, or a case cannot be used.
    """
    from arco.data.conversion import PreparationSettings
    from arco.data.preparation import prepare_dataset

    settings = job["settings"]
    layout = registry.load("data/layouts", settings["layout"])
    if not root.is_dir():
        raise ArcoError(
            f"{root} is missing; set datasets.{settings['dataset']}.root in params.yaml to the "
            f"download, see `arco doctor` for how to get it"
        )
    inventory = take_inventory(layout, root, settings["subsets"])
    partial = settings["source"] == "raw" and inventory.partial
    if partial:
        gaps = inventory.gaps(root, MOST_NAMES)
        LOG.warning(
            "%s: preparing %s of the complete download%s",
            root,
            inventory.count,
            gaps and f", missing: {gaps}",
        )
    window, crop = settings["intensity_window"], settings.get("crop")
    percentiles = settings.get("intensity_percentiles")
    prepare_dataset(
        inventory.cases,
        root,
        Path(job["out"]),
        PreparationSettings(
            classes=dict(settings["classes"]),
            image_size=tuple(settings["image_size"]) if "image_size" in settings else None,
            spacing_mm=tuple(settings["spacing_mm"]) if settings.get("spacing_mm") else None,
            intensity_window=None if window is None else (window[0], window[1]),
            intensity_percentiles=None if percentiles is None else (percentiles[0], percentiles[1]),
            version=settings["version"],
            crop=None if crop is None else _crop(crop),
            axial=settings.get("slices") == "axial",
            label_aliases=dict(settings.get("label_aliases", [])),
        ),
        source=settings["source"],
        workers=workers,
        report=report,
        keep_others=partial,
    )


def _crop(content: Mapping[str, Any]) -> Crop:
    from arco.data.cropping import Crop

    return Crop(content["region"], tuple(content["size_mm"]), tuple(content["margin_mm"]))


def split(job: Job) -> None:
    """Write the lists of the parts, or the labeled list of one budget.

    Raises:
        ArcoError: the dataset is not prepared, or lists and patients do not fit.
    """
    from arco.data.splits import write_labeled, write_parts

    settings, prepared = job["settings"], Path(job["prepared"])
    records = read_manifest(prepared).cases
    folder, own = prepared / "splits", Path(job["user_lists"])
    key = f"datasets.{settings['dataset']}"
    if "labels" in settings:
        budget = Budget.model_validate(settings["budget"])
        write_labeled(folder, records, budget, settings["labels"], own, key)
    else:
        write_parts(folder, records, Split.model_validate(settings["split"]), own, key)
