"""What a target needs: its cells, the pretrainings they share, and who is labeled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from arco import files
from arco.paths import label_key
from arco.plan import Cell, Plan, PretrainingRun


@dataclass(frozen=True)
class Budget:
    """One labels entry of a dataset, in patients and, once the dataset is prepared, in slices."""

    dataset: str
    labels: str
    patients: int
    share_of_slices: float
    slices: int | None


@dataclass(frozen=True)
class Overview:
    """What a target needs and what of it exists already."""

    target: str
    cells: list[tuple[Cell, bool]]
    pretrainings: list[tuple[PretrainingRun, bool]]
    budgets: list[Budget]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "target": self.target,
            "cells": [vars(cell) | {"exists": exists} for cell, exists in self.cells],
            "pretrainings": [vars(run) | {"exists": exists} for run, exists in self.pretrainings],
            "budgets": [vars(budget) for budget in self.budgets],
        }

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.target}: {len(self.cells)} cells ({_existing(self.cells)} exist), "
            f"{len(self.pretrainings)} pretrainings ({_existing(self.pretrainings)} exist)",
            "",
            "labels        patients  slices",
        ]
        for budget in self.budgets:
            slices = "not prepared" if budget.slices is None else str(budget.slices)
            share = "" if budget.share_of_slices == 1 else f" ({budget.share_of_slices:g} of each)"
            name = f"{budget.dataset} {budget.labels}"
            lines.append(f"{name:<18}{budget.patients:>4}  {slices}{share}")
        lines += ["", "pretrainings"]
        lines += [
            f"  {_mark(done)} {run.dataset}/{run.labels}/{run.name}/seed{run.seed}"
            for run, done in self.pretrainings
        ] or ["  none"]
        lines += ["", "cells"]
        lines += [
            f"  {_mark(done)} {cell.dataset}/{cell.labels}/{cell.recipe}/seed{cell.seed}"
            for cell, done in self.cells
        ]
        return "\n".join(lines)


def describe(plan: Plan, target: str) -> Overview:
    """What `target` (a table, a figure or `all`) needs.

    Raises:
        ArcoError: there is no such target.
    """
    scores = plan.scores_of(target)
    cells = list(scores)
    runs = plan.pretrainings(cells)
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    return Overview(
        target,
        [(cell, all(path.exists() for path in paths)) for cell, paths in scores.items()],
        [(run, (plan.pretrained_folder(run) / "weights.safetensors").exists()) for run in runs],
        [budget for dataset in datasets for budget in _budgets(plan, dataset)],
    )


def _budgets(plan: Plan, dataset: str) -> list[Budget]:
    return [
        Budget(
            dataset, labels, entry.patients, entry.slices, _labeled_slices(plan, dataset, labels)
        )
        for labels, entry in plan.dataset(dataset).labels.items()
    ]


def _labeled_slices(plan: Plan, dataset: str, labels: str) -> int | None:
    """Slices that the labeled list stands for, or None before it is made."""
    listed = plan.labeled_list(dataset, label_key(labels))
    manifest = plan.paths.manifest(dataset)
    if not (listed.exists() and manifest.exists()):
        return None
    from arco.data.splits import count_slices

    return count_slices(listed, files.read_json(manifest))


def _existing(entries: list[tuple[Any, bool]]) -> int:
    return sum(done for _, done in entries)


def _mark(done: bool) -> str:
    return "done   " if done else "missing"
