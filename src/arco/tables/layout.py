"""A printed page, free of any file format: headings, rows, numbers with marks, and notes."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from arco.schema.reports import Row, Score, Table
from arco.tables.collect import AVERAGE, Summary
from arco.tables.numerals import UNDEFINED, printed, printed_deviation

ARROWS = {"high": "↑", "low": "↓"}


@dataclass(frozen=True)
class Column:
    """One number of each row: a score of a class of a dataset at a labels entry.

    In a stacked table `labels` is empty: there the line says it.
    """

    dataset: str
    labels: str
    class_name: str
    score: Score


@dataclass(frozen=True)
class Number:
    """A number as printed.

    Attributes:
        summary: what it was computed from.
        text: its printed mean.
        deviation: its printed standard deviation over seeds, or empty.
        rank: 1 for the best of its column, 2 for the second best, else 0.
        mark: the letter of its footnote, or empty.
    """

    summary: Summary
    text: str
    deviation: str
    rank: int
    mark: str


@dataclass(frozen=True)
class Line:
    """A row of the page, one number per column; `opens_category` on the first of its category.

    In a stacked table `labels` is the entry that the line's numbers are of, else empty.
    """

    row: Row
    labels: str
    category: str
    opens_category: bool
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Texts:
    """What stands around the numbers of a table.

    Attributes:
        title, caption: its heading.
        conditions: the sentence on data, scale, protocol and seeds; it belongs to the heading,
            where nobody overlooks it.
        footnotes: text by mark.
        notes: sentences below the table that say how to read it.
    """

    title: str
    caption: str
    conditions: str
    footnotes: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Page(Texts):
    """A table ready to be written in any format.

    Attributes:
        columns: what each number of a line is, datasets outermost, then labels entries, classes
            and scores.
        titles: the printed name of each dataset.
        grouping: what its categories are, for the heading above them.
        cell_width: how many neighbouring numbers share a printed cell ("68.2/16.9" is two).
        headings: the heading of each printed cell below its labels entry.
        lines: the rows.
    """

    columns: tuple[Column, ...]
    titles: dict[str, str]
    grouping: str
    cell_width: int
    headings: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def has_categories(self) -> bool:
        """Whether any row belongs to a category."""
        return any(line.category for line in self.lines)

    @property
    def spans(self) -> list[tuple[str, int]]:
        """The headings above `headings`: each labels entry with its number of printed cells.

        Of several datasets each entry is named with its dataset; in a stacked table the datasets
        stand there alone.
        """
        widths = Counter((column.dataset, column.labels) for column in self.columns)
        several = len(self.titles) > 1
        return [
            (
                ", ".join(
                    [self.titles[dataset]] * (several or not labels)
                    + [f"{labels} Labeled"] * bool(labels)
                ),
                width // self.cell_width,
            )
            for (dataset, labels), width in widths.items()
        ]


def columns_of(table: Table) -> list[Column]:
    """The columns of a table in printed order."""
    return [
        Column(dataset, labels, class_name, score)
        for dataset in table.datasets
        for labels in ([""] if table.stacked else table.labels)
        for class_name in table.classes_of(dataset)
        for score in table.scores
    ]


def lines_of(table: Table) -> list[tuple[str, int]]:
    """The lines of a table in printed order: labels entry (empty unless stacked) and row."""
    blocks = table.labels if table.stacked else [""]
    return [(labels, row) for labels in blocks for row in range(len(table.rows))]


def lay_out(
    table: Table,
    summaries: Sequence[Sequence[Summary]],
    conditions: str,
    titles: Mapping[str, str],
) -> Page:
    """The printed page of a table.

    Args:
        table: what the table shows.
        summaries: the numbers, [`lines_of` the table][`columns_of` it].
        conditions: the sentence on data, scale, protocol and seeds.
        titles: the printed name of each dataset.
    """
    columns = columns_of(table)
    count = len(table.rows)
    ranks = [
        line
        for start in range(0, len(summaries), count)  # each block of a stacked table by itself
        for line in _ranks(table.rows, columns, summaries[start : start + count])
    ]
    marks = footnote_marks(footnote(summary) for line in summaries for summary in line)
    lines: list[Line] = []
    for index, (labels, number_of_row) in enumerate(lines_of(table)):
        row = table.rows[number_of_row]
        category = f"{labels} Labeled" if labels else row.category
        opens = not lines or category != lines[-1].category
        numbers = [
            Number(
                summary,
                printed(summary.mean, column.score.score),
                printed_deviation(summary.std, summary.mean, column.score.score),
                rank,
                marks.get(footnote(summary), ""),
            )
            for column, summary, rank in zip(columns, summaries[index], ranks[index], strict=True)
        ]
        lines.append(Line(row, labels, category, opens, tuple(numbers)))
    return Page(
        title=table.title,
        caption=table.caption,
        conditions=conditions,
        columns=tuple(columns),
        titles=dict(titles),
        grouping="Labels" if table.stacked else "Category",
        cell_width=len(table.scores) if table.style == "pairs" else 1,
        headings=tuple(_headings(table)),
        lines=tuple(lines),
        footnotes={mark: text for text, mark in marks.items()},
        notes=tuple(_notes(table, summaries)),
    )


def _ranks(
    rows: Sequence[Row], columns: Sequence[Column], summaries: Sequence[Sequence[Summary]]
) -> list[list[int]]:
    """Ranks 1 and 2 per column, 0 elsewhere; equal printed numbers share a rank.

    Compared is what the reader sees, so that two rows which both print 85.5 are marked alike. A
    mean that leaves out more than half of its scores has no rank: a distance over the two cases of
    ten that are found at all is not better than one over all ten.
    """
    ranks = [[0] * len(columns) for _ in rows]
    for position, column in enumerate(columns):
        name = column.score.score
        cells = {
            index: summaries[index][position]
            for index, row in enumerate(rows)
            if not row.bound and not _mostly_undefined(summaries[index][position])
        }
        texts = {index: printed(cell.mean, name) for index, cell in cells.items()}
        values = {index: float(text) for index, text in texts.items() if text != UNDEFINED}
        ordered = sorted(set(values.values()), reverse=column.score.best == "high")
        for index, value in values.items():
            ranks[index][position] = {0: 1, 1: 2}.get(ordered.index(value), 0)
    return ranks


def _mostly_undefined(summary: Summary) -> bool:
    return 2 * summary.undefined > summary.scores


def footnote(summary: Summary) -> str:
    """What a reader must know about undefined scores behind a number; empty if there are none."""
    if not summary.undefined:
        return ""
    text = f"{summary.undefined} of {summary.scores} scores undefined (empty prediction or truth)"
    dropped = len(summary.per_seed) - len(summary.defined)
    if dropped and summary.defined:
        text += f"; {dropped} of {len(summary.per_seed)} seeds left out for it"
    return text


def footnote_marks(texts: Iterable[str]) -> dict[str, str]:
    """A mark (a, b, ... z, aa, ...) for each distinct footnote, in printed order; none if empty."""
    letters = string.ascii_lowercase
    return {
        text: (letters[index // len(letters) - 1] if index >= len(letters) else "")
        + letters[index % len(letters)]
        for index, text in enumerate(dict.fromkeys(filter(None, texts)))
    }


def _headings(table: Table) -> list[str]:
    """The heading of each printed cell, dataset and labels entry left out."""
    headings = []
    for dataset in table.datasets:
        names = table.classes_of(dataset)
        if table.style == "pairs":
            per_entry = [class_title(name) for name in names]
        else:
            per_entry = [
                (f"{class_title(name)} " if len(names) > 1 else "") + score_heading(score)
                for name in names
                for score in table.scores
            ]
        headings += per_entry * (1 if table.stacked else len(table.labels))
    return headings


def _notes(table: Table, summaries: Sequence[Sequence[Summary]]) -> list[str]:
    numbers = [summary for line in summaries for summary in line]
    reading = []
    if table.style == "pairs":
        reading.append(f"Each cell: {' / '.join(map(score_heading, table.scores))}.")
    reading.append("A class score is the mean over the cases where it is defined.")
    if any(AVERAGE in table.classes_of(dataset) for dataset in table.datasets):
        reading.append(
            "The average is the mean of the class scores, undefined where one of them is."
        )
    if any(len(summary.per_seed) > 1 for summary in numbers):
        reading.append("Mean ± sample standard deviation over seeds.")
    marking = "Bold: best of a column; underlined: second best (blue and red in the paper)."
    if any(map(_mostly_undefined, numbers)):
        marking += " A mean over less than half of the scores is not marked."
    bounds = [row.label for row in table.rows if row.bound]
    if bounds:
        marking += f" {' and '.join(bounds)}: bounds, not ranked."
    return [" ".join(reading), marking]


def score_heading(score: Score) -> str:
    """A score with an arrow to its best end: `DSC[%] ↑`."""
    return f"{score.label} {ARROWS[score.best]}"


def class_title(name: str) -> str:
    """A class as printed: `lv` is LV, `myo` is Myo."""
    return name.upper() if len(name) <= 2 else name.capitalize()
