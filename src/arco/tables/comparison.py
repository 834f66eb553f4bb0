"""A table of paired differences to one row, over seeds, from the metrics files of its cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arco.provenance import conditions
from arco.schema.reports import Bootstrap, Comparison, labels_of
from arco.tables import comparison_formats as formats
from arco.tables.build import write_formats
from arco.tables.collect import AVERAGE, RunScores, read_cells, summarize
from arco.tables.comparison_page import ComparedLine, lay_out
from arco.tables.differences import difference

PARTS = {"test": "Test part", "val": "Validation part"}
Cells = Mapping[tuple[int, str, str], Mapping[int, RunScores]]


def build_comparison(
    settings: Mapping[str, Any], out: Path, provenance: Mapping[str, Any]
) -> list[Path]:
    """Write a comparison as `.csv`, `.md`, `.tex` and `.json`: all four, or none if anything fails.

    Arguments, return value and errors are those of `arco.tables.build.build_table`; the settings
    are those that `Plan.table_settings` gives for a comparison.
    """
    comparison = Comparison.model_validate(settings["comparison"])
    bootstrap = Bootstrap.model_validate(settings["bootstrap"])
    cells = read_cells(settings, comparison.part)
    titles = {name: dataset["title"] for name, dataset in settings["datasets"].items()}
    lines = list(_lines(comparison, cells, bootstrap, titles))
    # What there is to say of scale, protocol and seeds is said by `conditions` of every table.
    circumstances = f"{_tested(comparison, cells, titles)} {conditions(settings)}"
    page = lay_out(comparison, lines, circumstances, bootstrap, titles)
    texts = {
        ".csv": formats.to_csv(page),
        ".md": formats.to_markdown(page),
        ".tex": formats.to_latex(page),
        ".json": formats.to_json(page, settings, provenance),
    }
    return write_formats(out, texts)


def _lines(
    comparison: Comparison, cells: Cells, bootstrap: Bootstrap, titles: Mapping[str, str]
) -> Iterator[ComparedLine]:
    """The lines in printed order: under each dataset and labels entry the reference first."""
    score = comparison.score.score
    recipes = [row.recipe for row in comparison.rows]
    first = recipes.index(comparison.against)
    others = [index for index in range(len(recipes)) if index != first]
    for dataset in comparison.datasets:
        for labels in labels_of(comparison, dataset):
            title = f"{titles[dataset]}, " if len(titles) > 1 else ""
            reference = cells[first, dataset, labels]
            for index in (first, *others):
                runs = cells[index, dataset, labels]
                yield ComparedLine(
                    dataset,
                    labels,
                    f"{title}{labels} Labeled",
                    comparison.rows[index],
                    summarize(list(runs.values()), AVERAGE, score),
                    None if index == first else difference(runs, reference, score, bootstrap),
                )


def _tested(comparison: Comparison, cells: Cells, titles: Mapping[str, str]) -> str:
    """The sentence on who was tested, such as `Test part: 24 cases of 12 patients`."""
    counts = {}
    for (_, dataset, _), runs in cells.items():
        run = next(iter(runs.values()))
        counts[dataset] = f"{len(run.cases)} cases of {len(set(run.patients))} patients"
    if len(counts) == 1:
        told = counts[comparison.datasets[0]]
    else:
        told = ", ".join(f"{titles[name]} {counts[name]}" for name in comparison.datasets)
    return f"{PARTS[comparison.part]}: {told}."
