"""Runs of the real training loop that take a second: tiny hearts, a tiny network, a few steps."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from small_prepared import CLASSES, heart, scan, write_prepared

from arco import files, jobs, params
from arco.checkpoint import Resume
from arco.plan import Plan
from arco.training import Job, train

REPOSITORY = Path(__file__).parents[2]
CASES = {"train": ("p1_a", "p2_a", "p3_a"), "labeled_5pct": ("p1_a",), "val": ("p4_a", "p5_a")}
SLICES = {2: (32, 48), 3: (16, 32, 32)}
"""Of a training image; the prepared arrays of both are [1, 20, 32, 48]."""


class Killed(Exception):
    """Stands for a kill in the middle of a run."""


def write_dataset(folder: Path) -> None:
    """Five patients with images that show their labels, and the lists of their parts."""
    generator = np.random.default_rng(0)
    cases = [*CASES["train"], *CASES["val"]]
    write_prepared(folder, {case: scan(heart((52, 40, 20), generator)) for case in cases})
    for name, listed in CASES.items():
        files.write_text(folder / "splits" / f"{name}.txt", "\n".join(listed) + "\n")


def make_job(
    prepared: Path,
    out: Path,
    *,
    axes: int = 2,
    method: str = "mt",
    training: dict[str, Any] | None = None,
) -> Job:
    """The job that the plan makes of a recipe, on the dataset of `write_dataset`.

    Args:
        prepared: where that dataset lies.
        out: where results and checkpoints go.
        axes: 2 or 3.
        method: the fine-tuning method, without pretraining.
        training: replaces settings of training.
    """
    dataset = {2: "acdc", 3: "la"}[axes]
    short = {"iterations": 6, "log_every": 1, "batch": {"labeled": 1, "unlabeled": 1}}
    overlay = {
        "scale": "smoke",
        "datasets": {
            dataset: {
                "image_size": list(SLICES[axes]),
                "split": {"val": 2},
                "training": {**short, **(training or {})},
            }
        },
        "recipes": {"tested": {"method": method}},
    }
    plan = Plan(params.load(REPOSITORY / "params.yaml", overlay))
    settings = jobs.finetune(plan, plan.cell(dataset, "5%", "tested", 0))
    settings["settings"]["dataset"]["classes"] = list(CLASSES)
    splits = prepared / "splits"
    return Job(
        settings=settings["settings"],
        prepared=prepared,
        training_list=splits / "train.txt",
        labeled_list=splits / "labeled_5pct.txt",
        pretrained=None,
        out=out,
        resume=out.with_name(f"{out.name} resume"),
        validation_list=splits / "val.txt" if "validation_list" in settings else None,
    )


def run(job: Job) -> dict[str, bytes]:
    """Train to the end; the bytes of the results by name, provenance left out."""
    train(job, device="cpu", threads=1, checkpoint_seconds=1e9, report=lambda done, total: None)
    return {
        str(path.relative_to(job.out)): path.read_bytes()
        for path in sorted(job.out.rglob("*"))
        if path.is_file() and path.name != "provenance.json"
    }


def run_killed(job: Job, monkeypatch, *, saved: int, killed: int) -> None:
    """Train until step `killed`, with a checkpoint at step `saved` and none later."""
    save = Resume.save

    def save_once(self: Resume, state: Any) -> None:
        if state["step"] == saved:
            save(self, state)

    def report(done: int, total: int) -> None:
        if done == killed:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Resume, "save", save_once)
        try:
            train(job, device="cpu", threads=1, checkpoint_seconds=0.0, report=report)
        except Killed:
            return
    raise AssertionError(f"the run ended before step {killed}")


def history(job: Job) -> list[dict[str, str]]:
    """The rows of history.csv as text."""
    with (job.out / "history.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
