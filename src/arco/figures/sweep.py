"""Scores over the values of single parameters (Fig. 20)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from arco import files
from arco.figures.style import CAPTION_SIZE, colors, house_style, save
from arco.provenance import conditions
from arco.schema import reports
from arco.tables.collect import AVERAGE, FRACTIONS, RunScores, Summary, read_runs, summarize
from arco.tables.formats import csv_text, json_text
from arco.tables.layout import ARROWS
from arco.tables.numerals import unit

PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 2.6, 1.9, 1.5  # inches
CHARACTERS_PER_INCH = 17
COLUMNS = (
    "sweep", "key", "value", "score", "unit", "mean", "std", "seeds", "cases", "scores",
    "undefined", "shared_setting",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One score at one value of a swept parameter.

    `shared` marks the setting that all sweeps have in common, from which each starts.
    """

    sweep: reports.Sweep
    value: float
    score: reports.Score
    summary: Summary
    shared: bool


def draw_sweep(settings: Mapping[str, Any], out: Path, provenance: Mapping[str, Any]) -> list[Path]:
    """Draw a sweep figure: a column of panels per parameter, a row per score.

    Shown is the mean over seeds of the class average, with a band of one sample standard
    deviation where several seeds ran. The point that all sweeps share is ringed.

    Args:
        settings: what `arco.report_settings.figure_settings` gives; metrics paths are relative to
            the current folder.
        out: any of the files; the suffix is exchanged.
        provenance: what `arco.provenance.provenance` gives, copied into the json.

    Returns:
        The files written: `.png`, `.pdf`, `.csv` (a line per point, in the unit it names)
        and `.json`; all of them, or none if anything fails.

    Raises:
        ArcoError: a metrics file is missing, cut short, invalid, or scores other cases.
    """
    figure = reports.Figure.model_validate(settings["figure"])
    points = _points(figure, settings)
    caption = _caption(figure, points, conditions(settings))
    written = [out.with_suffix(suffix) for suffix in (".png", ".pdf", ".csv", ".json")]
    with house_style(), ExitStack() as stack:
        drawing = _draw(figure, points, caption)
        png, pdf, table, record = (stack.enter_context(files.atomic(path)) for path in written)
        save(drawing, png)
        save(drawing, pdf)
        table.write_text(_csv(points), encoding="utf-8", newline="\n")
        record.write_text(
            _json(figure, points, caption, settings, provenance), encoding="utf-8", newline="\n"
        )
    return written


def _points(figure: reports.Figure, settings: Mapping[str, Any]) -> list[Point]:
    """All points in the order of sweeps, values and scores."""
    entries = settings["points"]
    runs = read_runs(
        [Path(entry["metrics"]) for entry in entries],
        settings["datasets"][figure.dataset]["classes"],
        figure.part,
    )
    by_value: dict[tuple[int, float], list[RunScores]] = {}
    for entry in entries:
        key = entry["sweep"], entry["value"]
        by_value.setdefault(key, []).append(runs[Path(entry["metrics"])])
    shared = _shared_paths(entries, len(figure.sweeps))
    return [
        Point(
            figure.sweeps[index],
            value,
            score,
            summarize(seeds, AVERAGE, score.score),
            shared=seeds[0].path in shared,
        )
        for (index, value), seeds in by_value.items()
        for score in figure.scores
    ]


def _shared_paths(entries: Sequence[Mapping[str, Any]], sweeps: int) -> set[Path]:
    """The metrics files that every one of several sweeps shows: their common setting."""
    paths = [
        {Path(entry["metrics"]) for entry in entries if entry["sweep"] == index}
        for index in range(sweeps)
    ]
    return set.intersection(*paths) if sweeps > 1 else set()


def _caption(figure: reports.Figure, points: Sequence[Point], conditions_text: str) -> str:
    part = {"val": "validation", "test": "test"}[figure.part]
    reading = [f"Mean over cases and classes of the {part} part, {figure.labels} labeled."]
    if any(len(point.summary.per_seed) > 1 for point in points):
        reading.append("Band: one standard deviation over seeds.")
    if any(point.shared for point in points):
        reading.append("Ringed: the setting that all panels share.")
    for score in figure.scores:
        of_score = [point.summary for point in points if point.score == score]
        distinct = {summary.metrics: summary for summary in of_score}.values()  # shared ones once
        undefined = sum(summary.undefined for summary in distinct)
        if undefined:
            reading.append(
                f"{score.label}: {undefined} of {sum(summary.scores for summary in distinct)} "
                "scores are undefined (empty prediction or truth) and left out."
            )
    return " ".join([figure.caption, *reading, conditions_text])


def _draw(figure: reports.Figure, points: Sequence[Point], caption: str) -> Figure:
    rows, columns = len(figure.scores), len(figure.sweeps)
    width = PANEL_WIDTH * columns
    drawing = Figure(figsize=(width, PANEL_HEIGHT * rows + MARGIN), layout="constrained")
    axes = drawing.subplots(rows, columns, squeeze=False, sharex="col", sharey="row")
    for row, (score, color) in enumerate(zip(figure.scores, colors(rows), strict=True)):
        for column, sweep in enumerate(figure.sweeps):
            shown = [point for point in points if (point.sweep, point.score) == (sweep, score)]
            _panel(axes[row, column], sorted(shown, key=lambda point: point.value), color)
        axes[row, 0].set_ylabel(f"{score.label} {ARROWS[score.best]}")
    for column, sweep in enumerate(figure.sweeps):
        axes[-1, column].set_xlabel(sweep.label)
    drawing.align_xlabels(axes[-1])
    drawing.suptitle(figure.title)
    wrapped = textwrap.fill(caption, int(CHARACTERS_PER_INCH * width))
    drawing.supxlabel(wrapped, fontsize=CAPTION_SIZE, x=0.01, ha="left")
    return drawing


def _panel(axes: Axes, points: Sequence[Point], color: tuple[float, float, float]) -> None:
    """One score over one parameter; a value where the score is undefined leaves a gap."""
    factor = 100 if points[0].score.score in FRACTIONS else 1
    values = [point.value for point in points]
    means = [factor * point.summary.mean for point in points]
    deviations = [factor * point.summary.std for point in points]
    axes.set_xscale("log")
    axes.plot(values, means, marker="o", color=color)
    if not all(map(math.isnan, deviations)):
        low = [mean - deviation for mean, deviation in zip(means, deviations, strict=True)]
        high = [mean + deviation for mean, deviation in zip(means, deviations, strict=True)]
        axes.fill_between(values, low, high, color=color, alpha=0.2, linewidth=0)
    ringed = [index for index, point in enumerate(points) if point.shared]
    axes.plot(
        [values[index] for index in ringed],
        [means[index] for index in ringed],
        linestyle="none", marker="o", markersize=10, markerfacecolor="none", color="0.25",
    )  # fmt: skip
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(axis="x", rotation=45)


def _csv(points: Sequence[Point]) -> str:
    rows = [[values[name] for name in COLUMNS] for values in map(_record, points)]
    return csv_text([COLUMNS, *rows])


def _record(point: Point) -> dict[str, Any]:
    """A point as plain values; the keys begin with those of the csv."""
    summary = point.summary
    return {
        "sweep": point.sweep.label,
        "key": point.sweep.key,
        "value": point.value,
        "score": point.score.score,
        "unit": unit(point.score.score),
        "mean": summary.mean,
        "std": summary.std,
        "seeds": len(summary.per_seed),
        "cases": summary.cases,
        "scores": summary.scores,
        "undefined": summary.undefined,
        "shared_setting": point.shared,
    }


def _json(
    figure: reports.Figure,
    points: Sequence[Point],
    caption: str,
    settings: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> str:
    records = [_record(point) | point.summary.as_json() for point in points]
    heading = {"title": figure.title, "caption": caption}
    return json_text({**heading, "provenance": provenance, "settings": settings, "points": records})
