"""What tables, comparisons and figures are made from: layout, and the metrics behind each number.

Also what the samplers' variances of a cell are measured with, which are printed like a table.

Loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from arco.paths import labels_entry, variance_name
from arco.plan import Cell, Plan, datasets_of
from arco.schema.reports import Comparison, labels_of
from arco.trees import Tree, known


def table_settings(plan: Plan, name: str) -> Tree:
    """What a table or comparison is made from: its layout and the metrics file of every cell."""
    table = known(plan.tables, name, "table", "tables")
    cells = [
        {
            "row": row,
            "dataset": dataset,
            "labels": labels,
            "seed": seed,
            "metrics": str(
                plan.metrics(plan.cell(dataset, labels, entry.recipe, seed), table.part)
            ),
        }
        for row, entry in enumerate(table.rows)
        for dataset in table.datasets
        for labels in labels_of(table, dataset)
        for seed in plan.parameters.sections.seeds
    ]
    layout: Tree = {"table": table.model_dump()}
    if isinstance(table, Comparison):
        bootstrap = plan.parameters.sections.bootstrap.model_dump()
        layout = {"comparison": table.model_dump(), "bootstrap": bootstrap}
    return {"name": name, **_common(plan, datasets_of(table)), **layout, "cells": cells}


def figure_settings(plan: Plan, name: str) -> Tree:
    """What a sweep figure is made from."""
    figure = known(plan.parameters.sections.figures, name, "figure", "figures")
    points = [
        {
            "sweep": index,
            "value": value,
            "seed": seed,
            "metrics": str(
                plan.metrics(
                    plan.cell(figure.dataset, figure.labels, plan.swept_name(sweep, value), seed),
                    figure.part,
                )
            ),
        }
        for index, sweep in enumerate(figure.sweeps)
        for value in sweep.values
        for seed in plan.parameters.sections.seeds
    ]
    layout = figure.model_dump()
    return {"name": name, **_common(plan, datasets_of(figure)), "figure": layout, "points": points}


def variance_settings(plan: Plan, cell: Cell) -> Tree:
    """How the samplers' variances of a cell are measured, and what to say of the cell."""
    sections = plan.parameters.sections
    return {
        **_common(plan, [cell.dataset]),
        "name": variance_name(*astuple(cell)),
        "version": sections.versions.variance,
        "dataset": cell.dataset,
        "labels": labels_entry(cell.labels),
        "recipe": cell.recipe,
        "seeds": [cell.seed],
        "variance": sections.variance.model_dump(),
    }


def _common(plan: Plan, names: Sequence[str]) -> Tree:
    sections = plan.parameters.sections
    datasets = {name: plan.dataset(name) for name in names}
    return {
        "version": sections.versions.report,
        "scale": sections.scale,
        "protocol": sections.protocol,
        "datasets": {
            name: {
                "title": dataset.title,
                "source": dataset.source,
                "classes": list(dataset.classes)[1:],
            }
            for name, dataset in datasets.items()
        },
        "seeds": sections.seeds,
    }
