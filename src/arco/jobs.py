"""What each stage's command receives: settings and paths as one tree of plain values.

The workflow hands a job to its command as JSON, so that what Snakemake recorded and what ran are
the same; by hand the command builds the same job from names. Nothing machine-specific is in it.
Loads no torch.
"""

from __future__ import annotations

from typing import Any

from arco.errors import ArcoError
from arco.plan import Cell, Plan, PretrainingRun
from arco.report_settings import figure_settings, table_settings, variance_settings
from arco.trees import known

Job = dict[str, Any]


def phantom(plan: Plan, dataset: str) -> Job:
    """Write a synthetic dataset."""
    entry = plan.dataset(dataset)
    version = plan.parameters.sections.versions.phantom
    settings = {"version": version, "layout": entry.layout, **entry.phantom.model_dump()}
    return {"settings": settings, "out": str(plan.paths.phantom(dataset))}


def prepare(plan: Plan, dataset: str) -> Job:
    """Prepare a dataset's arrays and manifest."""
    return {
        "settings": plan.prepare_settings(dataset),
        "out": str(plan.paths.prepared(dataset)),
    }


def split(plan: Plan, dataset: str, labels: str | None = None) -> Job:
    """Draw the parts of a dataset, or with `labels` (as in paths) choose the labeled cases."""
    return {
        "settings": plan.split_settings(dataset, labels),
        "prepared": str(plan.paths.prepared(dataset)),
        "user_lists": str(plan.paths.user_splits(dataset)),
    }


def pretrain(plan: Plan, run: PretrainingRun) -> Job:
    """Train a checkpoint that cells start from."""
    labeled = None
    if run.labels != "all":
        labeled = str(plan.labeled_list(run.dataset, run.labels))
    folder = plan.pretrained_folder(run)
    return {
        "settings": plan.pretrain_settings(run),
        "prepared": str(plan.paths.prepared(run.dataset)),
        "training_list": str(plan.paths.split(run.dataset, "train")),
        "labeled_list": labeled,
        "pretrained": None,
        "out": str(folder),
        "resume": str(plan.paths.resume(folder)),
    }


def finetune(plan: Plan, cell: Cell) -> Job:
    """Train one cell."""
    run = plan.pretraining(cell)
    folder = plan.run_folder(cell)
    settings = plan.finetune_settings(cell)
    job = {
        "settings": settings,
        "prepared": str(plan.paths.prepared(cell.dataset)),
        "training_list": str(plan.paths.split(cell.dataset, "train")),
        "labeled_list": str(plan.labeled_list(cell.dataset, cell.labels)),
        "pretrained": str(plan.pretrained_folder(run)) if run else None,
        "out": str(folder),
        "resume": str(plan.paths.resume(folder)),
    }
    if "validate_every" in settings["training"]:
        job["validation_list"] = str(plan.paths.split(cell.dataset, "val"))
    return job


def evaluate(plan: Plan, cell: Cell, part: str) -> Job:
    """Score one cell on a part (test or val)."""
    known({"test": 0, "val": 0}, part, "part", "evaluate")
    folder = plan.run_folder(cell)
    return {
        "settings": plan.evaluate_settings(cell, part),
        "run": str(folder),
        "prepared": str(plan.paths.prepared(cell.dataset)),
        "out": str(plan.metrics(cell, part)),
        "predictions": str(folder / ("predictions" if part == "test" else f"predictions_{part}")),
    }


def variance(plan: Plan, cell: Cell) -> Job:
    """Measure the samplers' variances at the snapshots of a cell.

    Raises:
        ArcoError: the cell is not ARCO's, or keeps no snapshots.
    """
    training = finetune(plan, cell)
    require_snapshots(training["settings"], f"params.yaml: recipes.{cell.recipe}")
    settings = variance_settings(plan, cell)
    read = ("prepared", "training_list", "labeled_list")
    return {
        "settings": settings,
        "run": training["out"],
        **{name: training[name] for name in read},
        "out": str(plan.paths.variance(settings["name"])),
    }


def require_snapshots(settings: Job, where: str) -> None:
    """Refuse a run that there is nothing to measure of.

    Args:
        settings: of its fine-tuning.
        where: names the run in the message.

    Raises:
        ArcoError: it is not ARCO's, or keeps no snapshots.
    """
    method = settings["method"]["name"]
    if method != "arco":
        raise ArcoError(
            f"{where} trains by {method}, not by ARCO, whose samplers these are; choose a recipe "
            "with method: arco"
        )
    if not settings["training"].get("snapshots"):
        raise ArcoError(
            f"{where} keeps no snapshots; set training.snapshots: [0.1, 0.5, 1.0], as the recipe "
            "arco_sg_snapshots does, and train it again"
        )


def table(plan: Plan, name: str) -> Job:
    """Print one table."""
    return {"settings": table_settings(plan, name), "out": str(plan.paths.table(name))}


def figure(plan: Plan, name: str) -> Job:
    """Draw one figure."""
    return {"settings": figure_settings(plan, name), "out": str(plan.paths.figure(name))}


def training_inputs(job: Job) -> dict[str, str]:
    """The files that a pretraining or fine-tuning job reads, by what they are."""
    files = {"manifest": f"{job['prepared']}/manifest.json", "training": job["training_list"]}
    if job["labeled_list"]:
        files["labeled"] = job["labeled_list"]
    if "validation_list" in job:
        files["validation"] = job["validation_list"]
    if job["pretrained"]:
        files["weights"] = f"{job['pretrained']}/weights.safetensors"
        files["settings"] = f"{job['pretrained']}/settings.json"
    return files


def evaluation_inputs(job: Job) -> dict[str, str]:
    """The files that an evaluation reads."""
    return {
        "weights": f"{job['run']}/weights.safetensors",
        "settings": f"{job['run']}/settings.json",
        "manifest": f"{job['prepared']}/manifest.json",
        "cases": f"{job['prepared']}/splits/{job['settings']['part']}.txt",
    }


def variance_inputs(job: Job) -> dict[str, str]:
    """The files that a measurement of variances reads, beside the snapshots of the run."""
    return {
        "weights": f"{job['run']}/weights.safetensors",
        "settings": f"{job['run']}/settings.json",
        "manifest": f"{job['prepared']}/manifest.json",
        "training": job["training_list"],
        "labeled": job["labeled_list"],
    }


def report_inputs(job: Job) -> list[str]:
    """The metrics files behind a table or figure, each once."""
    settings = job["settings"]
    shown = settings["cells"] if "cells" in settings else settings["points"]
    return list(dict.fromkeys(cell["metrics"] for cell in shown))
