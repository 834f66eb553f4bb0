"""What tables and figures are made from: their layout and the metrics file behind every number.

Loads no torch.
"""

from __future__ import annotations

from arco.plan import Plan, datasets_of
from arco.schema.reports import Figure, Table
from arco.trees import Tree, known


def table_settings(plan: Plan, name: str) -> Tree:
    """What a table is made from: its layout and the metrics file behind every cell."""
    table = known(plan.parameters.sections.tables, name, "table", "tables")
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
        for labels in table.labels
        for seed in plan.parameters.sections.seeds
    ]
    layout = table.model_dump()
    return {"name": name, **_common(plan, table), "table": layout, "cells": cells}


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
    return {"name": name, **_common(plan, figure), "figure": layout, "points": points}


def _common(plan: Plan, entry: Table | Figure) -> Tree:
    sections = plan.parameters.sections
    datasets = {name: plan.dataset(name) for name in datasets_of(entry)}
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
