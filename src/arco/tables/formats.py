"""A page as csv, Markdown, LaTeX and JSON text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from arco.paths import label_key
from arco.tables.layout import Column, Number, Page, Texts
from arco.tables.numerals import exact, slug, unit

LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "λ": r"$\lambda$",
}
WIDE_CELLS = 8
"""More printed cells than this do not fit a text column; LaTeX then shrinks the table to fit."""


def column_name(page: Page, column: Column) -> str:
    """The csv name of a column: `1pct_dsc_percent`, or with several classes `1pct_lv_dsc_percent`.

    The parts are the dataset where the page shows several, the labels entry as in paths unless the
    line says it, the class where the page shows several, and the printed score with its unit.
    """
    classes = {other.class_name for other in page.columns}
    dataset_part = [column.dataset] if len(page.titles) > 1 else []
    class_part = [column.class_name] if len(classes) > 1 else []
    labels_part = [label_key(column.labels)] if column.labels else []
    parts = [*dataset_part, *labels_part, *class_part, slug(column.score.label)]
    return "_".join(parts)


def to_csv(page: Page) -> str:
    """One line per row: category (where there are any), method, then each score.

    Percent has two decimals, distances have three, undefined is `nan`. After a score stand
    `<name>_std` where several seeds ran and `<name>_undefined`, the count of undefined scores,
    where its column has any.
    """
    header = _leading(page, page.grouping.lower(), "method")
    rows = [_leading(page, line.labels or line.category, line.row.label) for line in page.lines]
    for position, column in enumerate(page.columns):
        name, score = column_name(page, column), column.score.score
        summaries = [line.numbers[position].summary for line in page.lines]
        shown = [[exact(summary.mean, score)] for summary in summaries]
        header.append(name)
        if any(len(summary.per_seed) > 1 for summary in summaries):
            header.append(f"{name}_std")
            for texts, summary in zip(shown, summaries, strict=True):
                texts.append(exact(summary.std, score))
        if any(summary.undefined for summary in summaries):
            header.append(f"{name}_undefined")
            for texts, summary in zip(shown, summaries, strict=True):
                texts.append(str(summary.undefined))
        for row, texts in zip(rows, shown, strict=True):
            row.extend(texts)
    return csv_text([header, *rows])


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as csv, line feeds at line ends."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def to_markdown(page: Page) -> str:
    """Title, caption, a pipe table (best bold, second best underlined), footnotes and notes."""
    rows = []
    for line in page.lines:
        category = markdown(line.category) if line.opens_category else ""
        cells = _leading(page, category, markdown(line.row.label))
        rows.append(cells + _cells(page, line.numbers, _markdown_number))
    heading = _leading(page, page.grouping, "Method"), _combined_headings(page)
    return markdown_page(page, heading, rows)


def markdown_page(
    page: Texts, heading: tuple[Sequence[str], Sequence[str]], rows: Iterable[Sequence[str]]
) -> str:
    """Title, caption, a pipe table, footnotes and notes.

    Args:
        page: what stands around the table, plain text.
        heading: of the columns of text, and of those of numbers, plain text.
        rows: the cells, with their formatting.
    """
    leading, numbers = heading
    lines = [
        f"**{markdown(page.title)}**",
        "",
        markdown(f"{page.caption} {page.conditions}"),
        "",
        _pipes([*leading, *map(markdown, numbers)]),
        _pipes([":--"] * len(leading) + ["--:"] * len(numbers)),
        *map(_pipes, rows),
    ]
    footnotes = [f"<sup>{mark}</sup> {text}." for mark, text in page.footnotes.items()]
    paragraphs = [*footnotes, *map(markdown, page.notes)]
    return "\n".join(lines) + "\n\n" + "\n\n".join(paragraphs) + "\n"


def to_latex(page: Page) -> str:
    """A table environment for booktabs (and graphicx, where the table is wide)."""
    leading = _leading(page, page.grouping, "Method")
    columns = len(leading), len(page.headings)
    return latex_page(page, columns, _latex_heading(page, leading), _latex_rows(page))


def latex_page(
    page: Texts, columns: tuple[int, int], heading: Sequence[str], rows: Sequence[str]
) -> str:
    """A table environment.

    Args:
        page: what stands around the table, plain text.
        columns: how many columns hold text, and how many numbers.
        heading: the lines above the first rule of the table, in LaTeX.
        rows: the lines below it, in LaTeX.
    """
    leading, cells = columns
    tabular = [
        rf"\begin{{tabular}}{{{'l' * leading}{'c' * cells}}}",
        r"\toprule",
        *heading,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    wide = cells > WIDE_CELLS
    if wide:
        tabular = [r"\resizebox{\linewidth}{!}{%", *tabular[:-1], tabular[-1] + "}"]
    footnotes = [rf"\textsuperscript{{{mark}}} {text}." for mark, text in page.footnotes.items()]
    notes = [rf"\par\smallskip {text}" for text in [*footnotes, *map(latex, page.notes)]]
    lines = [
        "% needs \\usepackage{booktabs}" + (" and \\usepackage{graphicx}" if wide else ""),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(f'{page.title}: {page.caption} {page.conditions}')}}}",
        *tabular,
        r"\begin{minipage}{\linewidth}\footnotesize",
        *notes,
        r"\end{minipage}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_json(page: Page, settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """Everything behind a page: conditions, settings, provenance, and each number's origin.

    Means, deviations and per-seed scores are in the unit named beside them (Dice as a fraction);
    `printed` is what the other formats show. Undefined is null. There is no date in it.
    """
    numbers = [
        {
            "row": line.row.label,
            "category": line.category,
            "recipe": line.row.recipe,
            "dataset": column.dataset,
            "labels": column.labels or line.labels,
            "class": column.class_name,
            "score": column.score.score,
            "unit": unit(column.score.score),
            "printed": number.text,
            "rank": number.rank or None,
            "footnote": page.footnotes.get(number.mark),
            **number.summary.as_json(),
        }
        for line in page.lines
        for column, number in zip(page.columns, line.numbers, strict=True)
    ]
    heading = {
        "title": page.title,
        "caption": page.caption,
        "conditions": page.conditions,
        "notes": list(page.notes),
    }
    return json_text({**heading, "provenance": provenance, "settings": settings, "cells": numbers})


def json_text(content: Mapping[str, Any]) -> str:
    """Indented JSON in the given order; NaN is refused."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def latex(text: str) -> str:
    """Text with everything escaped that LaTeX would read as a command."""
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in text)


def _leading(page: Page, category: str, method: str) -> list[str]:
    """The cells before the numbers; a page without categories has no column for them."""
    return [category, method] if page.has_categories else [method]


def markdown(text: str) -> str:
    """Text with everything escaped that Markdown would read as formatting."""
    return re.sub(r"([\\|*_<`])", r"\\\1", text)


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _combined_headings(page: Page) -> list[str]:
    """Both heading levels in one line: Markdown tables have no second."""
    above = [entry for entry, width in page.spans for _ in range(width)]
    return [f"{entry}: {heading}" for entry, heading in zip(above, page.headings, strict=True)]


def _cells(page: Page, numbers: Sequence[Number], write: Callable[[Number], str]) -> list[str]:
    """Printed cells of a line: numbers that share one are joined by a slash."""
    texts = [write(number) for number in numbers]
    width = page.cell_width
    return ["/".join(texts[start : start + width]) for start in range(0, len(texts), width)]


def _markdown_number(number: Number) -> str:
    style = {0: "{}", 1: "**{}**", 2: "<u>{}</u>"}[number.rank]
    mark = f"<sup>{number.mark}</sup>" if number.mark else ""
    return style.format(number.text) + _deviation(number) + mark


def _latex_number(number: Number) -> str:
    style = {0: "%s", 1: r"\textbf{%s}", 2: r"\underline{%s}"}[number.rank]
    mark = rf"\textsuperscript{{{number.mark}}}" if number.mark else ""
    return style % latex(number.text) + latex(_deviation(number)) + mark


def _deviation(number: Number) -> str:
    return f"±{number.deviation}" if number.deviation else ""


def _latex_heading(page: Page, leading: Sequence[str]) -> list[str]:
    """Labels entries over their columns, a rule under each, then the headings themselves."""
    above, rules, start = [""] * len(leading), [], len(leading) + 1
    for entry, width in page.spans:
        above.append(rf"\multicolumn{{{width}}}{{c}}{{{latex(entry)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [ampersands(above), "".join(rules), ampersands([*leading, *map(latex, page.headings)])]


def _latex_rows(page: Page) -> list[str]:
    rows = []
    for index, line in enumerate(page.lines):
        if line.opens_category and index > 0:
            rows.append(r"\midrule")
        category = latex(line.category) if line.opens_category else ""
        cells = _leading(page, category, latex(line.row.label))
        rows.append(ampersands(cells + _cells(page, line.numbers, _latex_number)))
    return rows


def ampersands(cells: Sequence[str]) -> str:
    """A row of a LaTeX table."""
    return f"{' & '.join(cells)} \\\\"
