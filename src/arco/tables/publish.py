"""Tables put into Markdown pages, so that no number is typed by hand. Loads no pandas."""

from __future__ import annotations

from pathlib import Path

from arco import files
from arco.errors import ArcoError


def publish(name: str, table: Path, into: Path) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->` by a table, atomically.

    Args:
        name: of the table.
        table: its Markdown file; the JSON beside it tells at which scale it was made.
        into: the Markdown page; its other text stays as it is.

    Raises:
        ArcoError: the table or the page is missing, the table is of smoke scale, where nothing is
            learned, or the page has not one such pair of markers.
    """
    if not table.is_file():
        raise ArcoError(f"{table} is missing; make it first: snakemake {table.with_suffix('.csv')}")
    scale = files.read_json(table.with_suffix(".json"))["settings"]["scale"]
    if scale == "smoke":
        raise ArcoError(
            f"{table} is of smoke scale, where nothing is learned; make it at another scale first"
        )
    page, opening, closing = files.read_text(into), f"<!-- {name} -->", f"<!-- /{name} -->"
    start, end = page.find(opening), page.find(closing)
    if (page.count(opening), page.count(closing)) != (1, 1) or end < start:
        raise ArcoError(
            f"{into} needs one line {opening} and, below it, one line {closing}; put them where "
            "the table shall stand"
        )
    text = files.read_text(table).strip("\n")
    files.write_text(into, f"{page[:start]}{opening}\n\n{text}\n\n{page[end:]}")
