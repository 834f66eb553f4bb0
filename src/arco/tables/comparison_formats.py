"""A comparison as csv, Markdown, LaTeX and JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arco.tables.collect import AVERAGE
from arco.tables.comparison_page import ComparedLine, ComparisonPage
from arco.tables.formats import (
    ampersands,
    csv_text,
    json_text,
    latex,
    latex_page,
    markdown,
    markdown_page,
)
from arco.tables.layout import score_heading
from arco.tables.numerals import printed, printed_deviation, printed_difference, unit

COLUMNS = (
    "dataset", "labels", "recipe", "row", "against", "part", "class", "score", "unit",
    "mean", "std", "seeds", "cases", "scores", "undefined",
    "difference", "low", "high", "excludes_zero", "difference_std",
    "patients", "pairs", "undefined_pairs", "undefined_resamples",
)  # fmt: skip
LEADING = ("Labels", "Method")


def to_csv(page: ComparisonPage) -> str:
    """A line per dataset, labels entry and row, in the unit it names (Dice as a fraction).

    Undefined is `nan`; the columns from `difference` on are empty for the reference.
    """
    rows = []
    for record in (_record(page, line) for line in page.lines):
        values = [record.get(name, "") for name in COLUMNS]
        rows.append(["nan" if value is None else value for value in values])
    return csv_text([COLUMNS, *rows])


def to_markdown(page: ComparisonPage) -> str:
    """Title, caption, a pipe table (bold: the interval excludes zero), footnotes and notes."""
    rows = []
    for index, line in enumerate(page.lines):
        mark = page.mark(line)
        score, difference, *others = _texts(page, line)
        rows.append(
            [
                markdown(page.group(index)),
                markdown(line.row.label),
                score + (f"<sup>{mark}</sup>" if mark else ""),
                f"**{difference}**" if _stands_out(line) else difference,
                *others,
            ]
        )
    return markdown_page(page, (LEADING, _headings(page)), rows)


def to_latex(page: ComparisonPage) -> str:
    """A table environment for booktabs."""
    rows = []
    for index, line in enumerate(page.lines):
        group, mark = page.group(index), page.mark(line)
        score, difference, *others = map(latex, _texts(page, line))
        cells = [
            latex(group),
            latex(line.row.label),
            score + (rf"\textsuperscript{{{mark}}}" if mark else ""),
            rf"\textbf{{{difference}}}" if _stands_out(line) else difference,
            *others,
        ]
        rows += [r"\midrule"] * bool(group and index) + [ampersands(cells)]
    headings = _headings(page)
    heading = ampersands([*LEADING, *map(latex, headings)])
    return latex_page(page, (len(LEADING), len(headings)), [heading], rows)


def to_json(
    page: ComparisonPage, settings: Mapping[str, Any], provenance: Mapping[str, Any]
) -> str:
    """Everything behind a comparison: conditions, settings, provenance, each number's origin.

    Numbers are in the unit named beside them; undefined is null. There is no date in it.
    """
    heading = {
        "title": page.title,
        "caption": page.caption,
        "conditions": page.conditions,
        "notes": list(page.notes),
    }
    records = [_record(page, line) for line in page.lines]
    return json_text({**heading, "provenance": provenance, "settings": settings, "cells": records})


def _record(page: ComparisonPage, line: ComparedLine) -> dict[str, Any]:
    """A line as plain values; its keys hold those of the csv."""
    score, difference, *_ = _texts(page, line)
    record = {
        "dataset": line.dataset,
        "labels": line.labels,
        "recipe": line.row.recipe,
        "row": line.row.label,
        "against": page.comparison.against,
        "part": page.comparison.part,
        "class": AVERAGE,
        "score": page.comparison.score.score,
        "unit": unit(page.comparison.score.score),
        "printed": {"score": score, "difference": difference},
        "footnote": line.footnote or None,
        "seeds": len(line.summary.per_seed),
        **line.summary.as_json(),
    }
    return record | (line.difference.as_json() if line.difference else {})


def _headings(page: ComparisonPage) -> list[str]:
    return [
        score_heading(page.comparison.score),
        f"Difference [{page.interval_name}]",
        "its SD over seeds",
        "Seeds",
    ]


def _texts(page: ComparisonPage, line: ComparedLine) -> list[str]:
    """The printed numbers of a line, one per heading, plain text."""
    name, summary, difference = page.comparison.score.score, line.summary, line.difference
    mean = summary.mean
    deviation = printed_deviation(summary.std, mean, name)
    score = printed(mean, name) + (f"±{deviation}" if deviation else "")
    seeds = str(len(summary.per_seed))
    if difference is None:
        return [score, "reference", "", seeds]
    interval = difference.interval
    value, low, high = (
        printed_difference(number, mean, name)
        for number in (difference.mean, interval.low, interval.high)
    )
    spread = printed_deviation(difference.std, mean, name)
    return [score, f"{value} [{low}, {high}]", spread, seeds]


def _stands_out(line: ComparedLine) -> bool:
    return line.difference is not None and line.difference.interval.excludes_zero
