"""The samplers' variances at the snapshots of a run, as csv, Markdown and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from arco.contrast_variance.estimates import Estimate
from arco.contrast_variance.measure import Row
from arco.provenance import conditions
from arco.tables.build import write_formats
from arco.tables.collect import json_number
from arco.tables.formats import csv_text, json_text, markdown_page
from arco.tables.layout import Texts
from arco.tables.numerals import UNDEFINED

COLUMNS = (
    "dataset", "labels", "recipe", "seed", "step", "quantity", "drawn", "sampler",
    "variance", "variance_error", "ratio", "ratio_error", "predicted_variance", "predicted_ratio",
)  # fmt: skip
LEADING = ("Step", "Drawn anew", "Variance of")
HEADINGS = ("NS", "SG / NS", "predicted", "SAG / NS", "predicted")


def write_variances(
    rows: Sequence[Row], settings: Mapping[str, Any], out: Path, provenance: Mapping[str, Any]
) -> list[Path]:
    """Write measured variances as `.csv`, `.md` and `.json`: all three, or none.

    Args:
        rows: what `arco.contrast_variance.measure.measure_run` gives.
        settings: what `arco.report_settings.variance_settings` gives.
        out: any of the files; the suffix is exchanged.
        provenance: what `arco.provenance.provenance` gives, copied into the json.

    Returns:
        The files in that order; the second is the one to show on a terminal.
    """
    page, records = _texts(settings), [_record(row, settings) for row in rows]
    texts = {
        ".csv": _csv(records),
        ".md": markdown_page(page, (LEADING, HEADINGS), _lines(rows)),
        ".json": json_text(
            {
                "title": page.title,
                "caption": page.caption,
                "conditions": page.conditions,
                "notes": list(page.notes),
                "provenance": provenance,
                "settings": settings,
                "cells": records,
            }
        ),
    }
    return write_formats(out, texts)


def _record(row: Row, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A row as plain values; its keys are those of the csv. What is undefined is None."""
    measured = row.measured
    values = {
        "seed": settings["seeds"][0],
        "step": row.step,
        **row.key._asdict(),
        "variance": measured.variance.value,
        "variance_error": measured.variance.error,
        "ratio": json_number(row.ratio.value),
        "ratio_error": json_number(row.ratio.error),
        "predicted_variance": measured.predicted,
        "predicted_ratio": row.predicted_ratio,
    }
    return {name: settings[name] for name in ("dataset", "labels", "recipe")} | values


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Every digit; undefined ratios are `nan`, and what the theory does not predict is empty."""
    rows = []
    for record in records:
        undefined = {"ratio": "nan", "ratio_error": "nan"}
        rows.append(
            [undefined.get(name, "") if record[name] is None else record[name] for name in COLUMNS]
        )
    return csv_text([COLUMNS, *rows])


def _lines(rows: Sequence[Row]) -> list[list[str]]:
    """A printed line per snapshot, kind of draw and quantity, samplers side by side."""
    lines: list[list[str]] = []
    before = None
    for (step, drawn, quantity), group in groupby(
        rows, lambda row: (row.step, row.key.drawn, row.key.quantity)
    ):
        by_sampler = {row.key.sampler: row for row in group}
        cells = [f"{by_sampler['ns'].measured.variance.value:.2e}"]
        for sampler in ("sg", "sag"):
            row = by_sampler[sampler]
            cells += [_ratio(row.ratio), _number(row.predicted_ratio)]
        lines.append(["" if step == before else str(step), drawn, quantity, *cells])
        before = step
    return lines


def _ratio(ratio: Estimate) -> str:
    if math.isnan(ratio.value):
        return UNDEFINED
    return f"{ratio.value:.3f} ± {ratio.error:.3f}"


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.3f}"


def _texts(settings: Mapping[str, Any]) -> Texts:
    numbers, (dataset,) = settings["variance"], settings["datasets"].values()
    return Texts(
        title=f"Variance by sampler: {dataset['title']}, {settings['labels']} Labeled, "
        f"{settings['recipe']}",
        caption=(
            "Variances of the contrastive loss and of its gradient under stratified (SG) and "
            "stratified-antithetic (SAG) sampling, as multiples of that under naive sampling (NS), "
            "at fixed weights: the snapshots of one run."
        ),
        conditions=conditions(settings),
        footnotes={},
        notes=(
            "A variance is one over draws alone: weights, images, views and dropout stay as they "
            f"are. It is the mean over {numbers['batches']} training batches, the same at every "
            "step; of a gradient it is the sum over all coordinates. ± is the standard error of "
            "the ratio, by the luck of the draws.",
            f"Queries: drawn {numbers['query_draws']:,} times, with the negatives of each class "
            "drawn once and held fixed. The loss is then a mean over drawn pixels, and Lemma 3.1 "
            "says its variance exactly, the random rounding of shares included: predicted. The "
            "head gradient is the one by the matrix that the representation head amounts to.",
            f"Queries and negatives: both drawn {numbers['training_draws']:,} times, as in "
            "training. The negatives stand inside a logarithm, so that the loss is no mean over "
            f"drawn pixels and the theory predicts nothing ({UNDEFINED}). The weights gradient is "
            "the one by all weights of network and head.",
        ),
    )
