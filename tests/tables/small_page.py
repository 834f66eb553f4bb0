"""A table small enough to check by eye, and numbers for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from arco.schema.reports import Table
from arco.tables.collect import Summary
from arco.tables.layout import Page, columns_of, lay_out

NAN = math.nan
SCORES = [
    {"score": "dice", "label": "DSC[%]", "best": "high"},
    {"score": "assd_mm", "label": "ASD[mm]", "best": "low"},
]
ROWS = [
    {"recipe": "unet_f", "label": "UNet-F", "bound": True},
    {"recipe": "first", "label": "First"},
    {"recipe": "second", "label": "Second"},
    {"recipe": "third", "label": "Third"},
]


def small_table(**changes: Any) -> Table:
    """Four rows, the average at one labels entry: two numbers a row."""
    settings = {
        "title": "Small",
        "caption": "What it shows.",
        "datasets": ["heart"],
        "labels": ["1%"],
        "classes": ["average"],
        "scores": SCORES,
        "style": "columns",
        "rows": ROWS,
    }
    return Table.model_validate(settings | changes)


def summary(*per_seed: float, undefined: int = 0) -> Summary:
    """A number over eight scores a seed."""
    paths = tuple(f"seed{seed}/metrics.csv" for seed in range(len(per_seed)))
    return Summary(paths, per_seed, cases=4, scores=8 * len(per_seed), undefined=undefined)


def small_page(numbers: Sequence[Sequence[Summary | float]], **changes: Any) -> Page:
    """The page of `small_table(**changes)` with these numbers, plain ones for a single seed."""
    table = small_table(**changes)
    summaries = [
        [number if isinstance(number, Summary) else summary(number) for number in line]
        for line in numbers
    ]
    assert all(len(line) == len(columns_of(table)) for line in summaries)
    titles = {name: name.upper() for name in table.datasets}
    return lay_out(table, summaries, "Data: synthetic phantoms.", titles)
