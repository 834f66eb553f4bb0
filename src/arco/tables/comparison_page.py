"""A printed comparison, free of any file format: lines of differences, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arco.schema.reports import Bootstrap, ComparedRow, Comparison
from arco.tables.collect import Summary
from arco.tables.differences import Difference
from arco.tables.layout import Texts, footnote, footnote_marks

FEW_PATIENTS = 10
"""A percentile interval from nine patients is a fifth shorter than Student's."""


@dataclass(frozen=True)
class ComparedLine:
    """A row at one labels entry of one dataset.

    Attributes:
        dataset, labels: which.
        group: both as printed; lines of one group stand together.
        row: the recipe and its label.
        summary: its score over seeds.
        difference: to the reference; None for the reference itself.
    """

    dataset: str
    labels: str
    group: str
    row: ComparedRow
    summary: Summary
    difference: Difference | None

    @property
    def footnote(self) -> str:
        """What a reader must know of undefined scores behind the line; empty if there are none."""
        told = [footnote(self.summary)]
        if self.difference is not None and self.difference.undefined:
            told.append(
                f"{self.difference.undefined} of {self.difference.pairs} pairs undefined and left "
                "out of the difference"
            )
        if self.difference is not None and self.difference.interval.undefined:
            told.append(f"{self.difference.interval.undefined} resamples without a difference")
        return "; ".join(filter(None, told))


@dataclass(frozen=True)
class ComparisonPage(Texts):
    """A comparison ready to be written in any format.

    Attributes:
        comparison: what it compares.
        lines: the rows, those of one group one after another.
        interval_name: what the brackets hold, for the heading: `95 % interval`.
    """

    comparison: Comparison
    lines: tuple[ComparedLine, ...]
    interval_name: str

    def group(self, index: int) -> str:
        """The heading that opens at a line: its group, or nothing within one."""
        opens = index == 0 or self.lines[index].group != self.lines[index - 1].group
        return self.lines[index].group if opens else ""

    def mark(self, line: ComparedLine) -> str:
        """The letter of a line's footnote, or nothing."""
        marks = {text: mark for mark, text in self.footnotes.items()}
        return marks.get(line.footnote, "")


def lay_out(
    comparison: Comparison,
    lines: Sequence[ComparedLine],
    conditions: str,
    bootstrap: Bootstrap,
    titles: Mapping[str, str],
) -> ComparisonPage:
    """The printed page of a comparison.

    Args:
        comparison: what it compares.
        lines: its numbers in printed order.
        conditions: the sentences on tested cases, data, scale, protocol and seeds.
        bootstrap: how the intervals were drawn.
        titles: the printed name of each dataset.
    """
    interval_name = f"{100 * bootstrap.level:g} % interval"
    marks = footnote_marks(line.footnote for line in lines)
    scores, differences = _about_scores(lines), _about_differences(lines)
    return ComparisonPage(
        title=comparison.title,
        caption=comparison.caption,
        conditions=conditions,
        footnotes={mark: text for text, mark in marks.items()},
        notes=(scores, differences, _about_intervals(lines, interval_name, bootstrap, titles)),
        comparison=comparison,
        lines=tuple(lines),
        interval_name=interval_name,
    )


def _several_seeds(lines: Sequence[ComparedLine]) -> bool:
    return any(len(line.summary.per_seed) > 1 for line in lines)


def _about_scores(lines: Sequence[ComparedLine]) -> str:
    text = (
        "A score is the mean of the class scores, undefined where one of them is; a class score is "
        "the mean over the cases where it is defined."
    )
    return text + " Mean ± sample standard deviation over seeds." * _several_seeds(lines)


def _about_differences(lines: Sequence[ComparedLine]) -> str:
    reference = lines[0].row.label
    text = (
        f"Difference: the row's score minus that of {reference} on the same case with the same "
        "seed, averaged over seeds, cases and classes"
    )
    if _several_seeds(lines):
        text += "; beside it the sample standard deviation of the seeds' differences"
    return text + "."


def _about_intervals(
    lines: Sequence[ComparedLine], name: str, bootstrap: Bootstrap, titles: Mapping[str, str]
) -> str:
    text = (
        f"In brackets: its {name} over test cases, with the trained networks held fixed: "
        f"{bootstrap.resamples:,} resamples of the patients, all cases of a patient together. It "
        "does not tell what other seeds would give, and is not corrected for the number of rows. "
        "Bold: the interval excludes zero."
    )
    few = {
        titles[line.dataset]: line.difference.patients
        for line in lines
        if line.difference is not None and line.difference.patients < FEW_PATIENTS
    }
    if few:
        named = ", ".join(f"{title}: {count}" for title, count in few.items())
        text += f" From fewer than {FEW_PATIENTS} patients ({named}) intervals are too narrow."
    return text
