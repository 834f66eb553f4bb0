"""A printed table from the metrics files of its cells."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from arco import files
from arco.provenance import conditions
from arco.schema.reports import Table
from arco.tables import formats
from arco.tables.collect import Summary, read_cells, summarize
from arco.tables.layout import columns_of, lay_out, lines_of

SEEDS = 3
"""A table from fewer says so."""


def build_table(
    settings: Mapping[str, Any], out: Path, provenance: Mapping[str, Any]
) -> list[Path]:
    """Write a table as `.csv`, `.md`, `.tex` and `.json`: all four, or none if anything fails.

    Args:
        settings: what `arco.report_settings.table_settings` gives; metrics paths are relative to
            the current folder.
        out: any of the four files; the suffix is exchanged.
        provenance: what `arco.provenance.provenance` gives, copied into the json.

    Returns:
        The four files, in that order; the second is the one to show on a terminal.

    Raises:
        ArcoError: a metrics file is missing, cut short, invalid, or scores other cases.
    """
    table = Table.model_validate(settings["table"])
    titles = {name: dataset["title"] for name, dataset in settings["datasets"].items()}
    page = lay_out(table, _summaries(table, settings), _conditions(table, settings), titles)
    texts = {
        ".csv": formats.to_csv(page),
        ".md": formats.to_markdown(page),
        ".tex": formats.to_latex(page),
        ".json": formats.to_json(page, settings, provenance),
    }
    return write_formats(out, texts)


def write_formats(out: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write the texts of a table, by suffix, beside each other: all or none.

    Returns:
        The files, in the order of `texts`.
    """
    written = [out.with_suffix(suffix) for suffix in texts]
    with ExitStack() as stack:  # every text is on the disk before the first one gets its name
        temporaries = [stack.enter_context(files.atomic(path)) for path in written]
        for temporary, text in zip(temporaries, texts.values(), strict=True):
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return written


def _conditions(table: Table, settings: Mapping[str, Any]) -> str:
    """What a reader must know before the numbers: on what data, over which cases, by how much luck.

    Two trainings that differ in their seed alone lie as far apart as many rows do.
    """
    sentences = [conditions(settings)]
    if table.part == "val":
        sentences.append("Scored: validation cases, not test cases.")
    count = len(settings["seeds"])
    if count < SEEDS:
        seeds = "1 seed" if count == 1 else f"{count} seeds"
        sentences.append(f"From {seeds}: differences between rows may be luck.")
    return " ".join(sentences)


def _summaries(table: Table, settings: Mapping[str, Any]) -> list[list[Summary]]:
    """The numbers of each line, one per column of the table."""
    by_cell = read_cells(settings, table.part)
    return [
        [
            summarize(
                list(by_cell[row, column.dataset, column.labels or labels].values()),
                column.class_name,
                column.score.score,
            )
            for column in columns_of(table)
        ]
        for labels, row in lines_of(table)
    ]
