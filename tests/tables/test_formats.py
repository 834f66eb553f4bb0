from __future__ import annotations

import csv
import io
import json
import re

import pytest
from small_page import ROWS, small_page, summary

from arco.tables import formats

NUMBERS = [[0.9, 0.5], [0.70123, 3.0], [0.8, summary(4.0, undefined=1)], [0.6, 12.34567]]
CATEGORIES = [row | {"category": name} for row, name in zip(ROWS, "xxyy", strict=True)]
PAIRS = {"labels": ["1%", "5%"], "classes": ["average", "lv"], "style": "pairs"}


def csv_rows(page):
    return list(csv.reader(io.StringIO(formats.to_csv(page))))


def test_csv_holds_plain_numbers_under_readable_names():
    assert csv_rows(small_page(NUMBERS)) == [
        ["method", "1pct_dsc_percent", "1pct_asd_mm", "1pct_asd_mm_undefined"],
        ["UNet-F", "90.00", "0.500", "0"],
        ["First", "70.12", "3.000", "0"],
        ["Second", "80.00", "4.000", "1"],
        ["Third", "60.00", "12.346", "0"],
    ]


def test_csv_repeats_the_category_in_every_row():
    rows = csv_rows(small_page(NUMBERS, rows=CATEGORIES))
    assert [row[0] for row in rows] == ["category", "x", "x", "y", "y"]


def test_csv_gives_pairs_a_column_each():
    header = csv_rows(small_page([[0.5] * 8] * 4, **PAIRS))[0]
    assert header[1:5] == [
        "1pct_average_dsc_percent", "1pct_average_asd_mm", "1pct_lv_dsc_percent", "1pct_lv_asd_mm",
    ]  # fmt: skip
    assert len(set(header)) == len(header) == 9


def test_csv_adds_deviations_where_several_seeds_ran():
    numbers = [[summary(0.7, 0.8), summary(3.0, 5.0)]] * 4
    header, first, *_ = csv_rows(small_page(numbers))
    assert header == [
        "method", "1pct_dsc_percent", "1pct_dsc_percent_std", "1pct_asd_mm", "1pct_asd_mm_std",
    ]  # fmt: skip
    assert first[1:] == ["75.00", "7.07", "4.000", "1.414"]


def test_csv_writes_undefined_as_nan():
    numbers = [*NUMBERS[:3], [0.6, summary(float("nan"), undefined=8)]]
    assert csv_rows(small_page(numbers))[-1] == ["Third", "60.00", "nan", "8"]


def markdown_cells(page):
    rows = [line for line in formats.to_markdown(page).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_markdown_marks_best_second_best_and_footnotes():
    header, rule, *rows = markdown_cells(small_page(NUMBERS))
    assert header == ["Method", "1% Labeled: DSC[%] ↑", "1% Labeled: ASD[mm] ↓"]
    assert rule == [":--", "--:", "--:"]
    assert rows == [
        ["UNet-F", "90.0", "0.500"],
        ["First", "<u>70.1</u>", "**3.00**"],
        ["Second", "**80.0**", "<u>4.00</u><sup>a</sup>"],
        ["Third", "60.0", "12.3"],
    ]


def test_markdown_says_what_it_shows_and_on_what_data():
    text = formats.to_markdown(small_page(NUMBERS))
    assert text.startswith("**Small**\n\nWhat it shows. Data: synthetic phantoms.\n\n|")
    assert "<sup>a</sup> 1 of 8 scores undefined (empty prediction or truth)." in text


def test_markdown_joins_pairs_and_ranks_each_number_by_itself():
    numbers = [[0.9, 1.0], [0.8, 2.0], [0.7, 1.5], [0.6, 3.0]]
    rows = markdown_cells(small_page(numbers, style="pairs"))[2:]
    assert [row[1] for row in rows] == [
        "90.0/1.00", "**80.0**/<u>2.00</u>", "<u>70.0</u>/**1.50**", "60.0/3.00",
    ]  # fmt: skip


def test_markdown_prints_the_category_once():
    rows = markdown_cells(small_page(NUMBERS, rows=CATEGORIES))[2:]
    assert [row[0] for row in rows] == ["x", "", "y", ""]


def test_markdown_escapes_what_would_be_formatting():
    rows = [row | {"label": "a|b*c_d"} for row in ROWS]
    assert markdown_cells(small_page(NUMBERS, rows=rows))[2][0] == r"a\|b\*c\_d"


def test_markdown_names_the_labels_entries_of_a_stacked_table():
    stacked = {"labels": ["1%", "5%"], "stacked": True}
    header, _, *rows = markdown_cells(small_page([[0.5, 1.0]] * 8, **stacked))
    assert header == ["Labels", "Method", "HEART: DSC[%] ↑", "HEART: ASD[mm] ↓"]
    assert [row[0] for row in rows] == ["1% Labeled", "", "", "", "5% Labeled", "", "", ""]


def latex_rows(page):
    return [line for line in formats.to_latex(page).splitlines() if line.endswith(r"\\")]


@pytest.mark.parametrize(
    "changes", [{}, PAIRS, {"rows": CATEGORIES}, {"labels": ["1%", "5%"], "stacked": True}]
)
def test_latex_rows_fill_the_declared_columns(changes):
    width = 8 if changes is PAIRS else 2
    page = small_page([[0.5] * width] * (8 if "stacked" in changes else 4), **changes)
    columns = len(re.search(r"\\begin\{tabular\}\{([lc]+)\}", formats.to_latex(page))[1])
    for row in latex_rows(page):
        spanned = sum(int(width) - 1 for width in re.findall(r"\\multicolumn\{(\d+)\}", row))
        assert row.count(" & ") + 1 + spanned == columns


def test_latex_marks_best_second_best_and_footnotes():
    rows = latex_rows(small_page(NUMBERS))
    assert rows[0] == r" & \multicolumn{2}{c}{1\% Labeled} \\"
    assert rows[3] == r"First & \underline{70.1} & \textbf{3.00} \\"
    assert rows[4] == r"Second & \textbf{80.0} & \underline{4.00}\textsuperscript{a} \\"


def test_latex_rules_separate_categories_and_span_labels():
    text = formats.to_latex(small_page([[0.5] * 4] * 4, rows=CATEGORIES, labels=["1%", "5%"]))
    assert text.count(r"\midrule") == 2
    assert r"\cmidrule(lr){3-4}\cmidrule(lr){5-6}" in text


def test_latex_shrinks_only_wide_tables():
    assert "resizebox" not in formats.to_latex(small_page([[0.5] * 8] * 4, **PAIRS))
    wide = PAIRS | {"classes": ["average", "rv", "lv", "la", "ra"]}
    text = formats.to_latex(small_page([[0.5] * 20] * 4, **wide))
    assert r"\resizebox{\linewidth}{!}{%" in text
    assert r"\end{tabular}}" in text


def test_latex_escapes_every_sign_that_it_would_read():
    assert formats.latex("50% of a_b & #1 $x$ {y} ~ ^ \\") == (
        r"50\% of a\_b \& \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert formats.latex("84±1 ↑ –") == r"84$\pm$1 $\uparrow$ --"


def test_latex_leaves_no_brace_open_and_no_bare_sign():
    page = small_page(NUMBERS, caption="100% of λ_1 & more {x}", title="#1")
    text = formats.to_latex(page)
    body = re.sub(r"\\[{}]", "", text)
    assert body.count("{") == body.count("}")
    caption = next(line for line in text.splitlines() if line.startswith(r"\caption"))
    assert not re.search(r"(?<!\\)[%&#_]", caption)
    assert text.count(r"\begin{") == text.count(r"\end{")


def test_json_tells_where_each_number_is_from():
    page = small_page(NUMBERS)
    content = json.loads(formats.to_json(page, {"scale": "demo"}, {"commit": "abc"}))
    assert content["conditions"] == "Data: synthetic phantoms."
    assert (content["settings"], content["provenance"]) == ({"scale": "demo"}, {"commit": "abc"})
    assert len(content["cells"]) == 8
    assert content["cells"][5] == {
        "row": "Second",
        "category": "",
        "recipe": "second",
        "dataset": "heart",
        "labels": "1%",
        "class": "average",
        "score": "assd_mm",
        "unit": "mm",
        "printed": "4.00",
        "rank": 2,
        "footnote": "1 of 8 scores undefined (empty prediction or truth)",
        "mean": 4.0,
        "std": None,
        "per_seed": [4.0],
        "cases": 4,
        "scores": 8,
        "undefined": 1,
        "metrics": ["seed0/metrics.csv"],
    }
