from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_page import NAN, ROWS, small_page, small_table, summary

from arco.tables.formats import column_name
from arco.tables.layout import class_title, columns_of
from arco.tables.numerals import exact, printed, printed_deviation, slug, unit

BOUND = [0.9, 0.5]


def texts(page):
    return [[number.text for number in line.numbers] for line in page.lines]


def ranks(page):
    return [[number.rank for number in line.numbers] for line in page.lines]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (16.92, "16.9"), (8.142, "8.14"), (0.9468, "0.947"), (10.55, "10.6"), (123.4, "123"),
        (9.996, "10.0"), (0.9996, "1.00"), (99.96, "100"), (0.01234, "0.012"), (0.0, "0.00"),
        (1234.5, "1234"), (8.1, "8.10"), (NAN, "–"),
    ],
)  # fmt: skip
def test_distances_print_three_significant_digits(value, text):
    assert printed(value, "assd_voxel") == text


@pytest.mark.parametrize(("value", "text"), [(0.8549, "85.5"), (1.0, "100.0"), (NAN, "–")])
def test_fractions_print_as_percent_with_one_decimal(value, text):
    assert printed(value, "dice") == text


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.floats(0.1, 900))
def test_a_printed_distance_is_within_half_a_unit_of_its_last_digit(value):
    text = printed(value, "assd_mm")
    places = len(text.partition(".")[2])
    assert abs(float(text) - value) <= 0.5 * 10**-places * (1 + 1e-9)
    assert len(text.replace(".", "").lstrip("0")) == 3


def test_a_deviation_has_the_decimals_of_its_mean():
    assert printed_deviation(1.234, 16.9, "assd_mm") == "1.2"
    assert printed_deviation(1.234, 0.947, "assd_mm") == "1.234"
    assert printed_deviation(0.0123, 0.85, "dice") == "1.2"
    assert printed_deviation(NAN, 0.85, "dice") == ""


def test_the_csv_gets_more_digits():
    assert exact(0.85494, "dice") == "85.49"
    assert exact(16.92345, "assd_mm") == "16.923"
    assert exact(NAN, "dice") == "nan"


def test_labels_become_column_names():
    assert [slug(label) for label in ("DSC[%]", "ASD[voxel]", "ASD[mm]", "mean IoU [%]")] == [
        "dsc_percent", "asd_voxel", "asd_mm", "mean_iou_percent",
    ]  # fmt: skip
    assert [unit(score) for score in ("dice", "assd_voxel", "hd95_mm")] == [
        "fraction", "voxel", "mm",
    ]  # fmt: skip


def test_best_and_second_best_follow_the_direction_of_the_score():
    page = small_page([BOUND, [0.7, 3.0], [0.8, 4.0], [0.6, 2.0]])
    assert ranks(page) == [[0, 0], [2, 2], [1, 0], [0, 1]]


def test_a_bound_is_never_marked_and_takes_no_place():
    page = small_page([[0.99, 0.1], [0.7, 3.0], [0.8, 4.0], [0.6, 5.0]])
    assert ranks(page)[0] == [0, 0]
    assert ranks(page)[2][0] == 1
    assert ranks(page)[1][1] == 1
    assert "UNet-F: bounds, not ranked." in page.notes[-1]


def test_numbers_that_print_alike_share_a_mark():
    page = small_page([BOUND, [0.80001, 3.0], [0.80004, 3.0], [0.7, 4.0]])
    assert ranks(page)[1:] == [[1, 1], [1, 1], [2, 2]]


def test_undefined_numbers_are_never_marked():
    page = small_page([BOUND, [0.8, NAN], [0.7, NAN], [0.6, 3.0]])
    assert ranks(page)[1:] == [[1, 0], [2, 0], [0, 1]]
    assert texts(page)[1] == ["80.0", "–"]


def test_a_mean_over_less_than_half_of_the_scores_has_no_mark():
    few, half = summary(1.0, undefined=5), summary(2.0, undefined=4)
    page = small_page([BOUND, [0.8, few], [0.7, 3.0], [0.6, half]])
    assert ranks(page)[1:] == [[1, 0], [2, 2], [0, 1]]
    assert "less than half" in page.notes[-1]
    assert "less than half" not in small_page([BOUND, *[[0.7, half]] * 3]).notes[-1]


def test_footnotes_count_undefined_scores_and_equal_ones_share_a_letter():
    page = small_page(
        [
            BOUND,
            [0.8, summary(3.0, undefined=2)],
            [0.7, summary(4.0, undefined=1)],
            [0.6, summary(5.0, undefined=2)],
        ]
    )
    assert [line.numbers[1].mark for line in page.lines] == ["", "a", "b", "a"]
    assert page.footnotes == {
        "a": "2 of 8 scores undefined (empty prediction or truth)",
        "b": "1 of 8 scores undefined (empty prediction or truth)",
    }


def test_a_seed_that_is_left_out_is_told():
    page = small_page([BOUND, [0.8, summary(3.0, NAN, undefined=8)], [0.7, 1.0], [0.6, 1.0]])
    assert page.lines[1].numbers[1].text == "3.00"
    assert page.footnotes["a"].endswith("; 1 of 2 seeds left out for it")


def test_footnote_letters_do_not_run_out():
    rows = [{"recipe": "r", "label": str(index)} for index in range(30)]
    numbers = [[0.5, summary(1.0, undefined=index + 1)] for index in range(30)]
    marks = [line.numbers[1].mark for line in small_page(numbers, rows=rows).lines]
    assert marks[25:28] == ["z", "aa", "ab"]
    assert len(set(marks)) == 30


def test_several_seeds_print_their_deviation():
    page = small_page([BOUND, [summary(0.7, 0.8), summary(3.0, 5.0)], [0.7, 1.0], [0.6, 1.0]])
    number = page.lines[1].numbers[1]
    assert (number.text, number.deviation) == ("4.00", f"{math.sqrt(2):.2f}")
    assert "standard deviation" in page.notes[0]


def test_one_seed_prints_no_deviation():
    page = small_page([BOUND, [0.7, 3.0], [0.8, 4.0], [0.6, 2.0]])
    assert page.lines[1].numbers[0].deviation == ""
    assert "standard deviation" not in " ".join(page.notes)


def test_columns_run_over_labels_then_classes_then_scores():
    table = small_table(labels=["1%", "5%"], classes=["average", "lv"])
    columns = [(c.labels, c.class_name, c.score.score) for c in columns_of(table)]
    assert columns[:5] == [
        ("1%", "average", "dice"), ("1%", "average", "assd_mm"),
        ("1%", "lv", "dice"), ("1%", "lv", "assd_mm"), ("5%", "average", "dice"),
    ]  # fmt: skip


def test_the_columns_style_heads_each_score():
    page = small_page([[0.5] * 4] * 4, labels=["1%", "5%"])
    assert page.headings == ("DSC[%] ↑", "ASD[mm] ↓") * 2
    assert page.spans == [("1% Labeled", 2), ("5% Labeled", 2)]
    assert page.cell_width == 1


def test_the_columns_style_names_classes_where_there_are_several():
    page = small_page([[0.5] * 4] * 4, classes=["average", "lv"])
    assert page.headings == ("Average DSC[%] ↑", "Average ASD[mm] ↓", "LV DSC[%] ↑", "LV ASD[mm] ↓")


def test_the_pairs_style_heads_each_class():
    page = small_page(
        [[0.5] * 8] * 4, labels=["1%", "5%"], classes=["average", "lv"], style="pairs"
    )
    assert page.headings == ("Average", "LV") * 2
    assert page.spans == [("1% Labeled", 2), ("5% Labeled", 2)]
    assert page.cell_width == 2
    assert page.notes[0].startswith("Each cell: DSC[%] ↑ / ASD[mm] ↓.")


def test_a_category_opens_at_its_first_row():
    rows = [row | {"category": name} for row, name in zip(ROWS, "xxyy", strict=True)]
    page = small_page([[0.5, 1.0]] * 4, rows=rows)
    assert page.has_categories
    assert [line.opens_category for line in page.lines] == [True, False, True, False]


def test_class_names_are_printed_as_in_the_appendix():
    assert [class_title(name) for name in ("average", "rv", "myo", "anterior")] == [
        "Average", "RV", "Myo", "Anterior",
    ]  # fmt: skip


def test_several_datasets_stand_side_by_side_under_their_names():
    page = small_page([[0.5, 1.0, 0.7, 2.0]] * 4, datasets=["liver", "atrium"])
    assert page.spans == [("LIVER, 1% Labeled", 2), ("ATRIUM, 1% Labeled", 2)]
    assert [column.dataset for column in page.columns] == ["liver"] * 2 + ["atrium"] * 2
    assert column_name(page, page.columns[2]) == "atrium_1pct_dsc_percent"
    assert len(page.headings) == 4


def test_datasets_may_show_classes_of_their_own():
    page = small_page(
        [[0.5, 1.0, 0.7, 2.0, 0.6, 3.0]] * 4,
        datasets=["liver", "heart"],
        classes={"liver": ["liver"], "heart": ["rv", "lv"]},
    )
    assert [column.class_name for column in page.columns[::2]] == ["liver", "rv", "lv"]
    assert page.spans == [("LIVER, 1% Labeled", 2), ("HEART, 1% Labeled", 4)]
    assert page.headings[:3] == ("DSC[%] ↑", "ASD[mm] ↓", "RV DSC[%] ↑")
    assert column_name(page, page.columns[0]) == "liver_1pct_liver_dsc_percent"


def test_classes_by_dataset_name_every_dataset():
    with pytest.raises(ValueError, match="entry for each of datasets"):
        small_table(datasets=["liver", "heart"], classes={"liver": ["average"]})


STACKED = {"labels": ["1%", "5%"], "classes": ["average", "lv"], "style": "pairs", "stacked": True}


def test_a_stacked_table_repeats_its_rows_under_each_labels_entry():
    numbers = [[0.01 * line, 1.0, 0.02 * line, 1.0] for line in range(8)]
    page = small_page(numbers, **STACKED)
    assert [(line.labels, line.row.label) for line in page.lines[3:5]] == [
        ("1%", "Third"), ("5%", "UNet-F"),
    ]  # fmt: skip
    assert [line.opens_category for line in page.lines] == [True, False, False, False] * 2
    assert page.lines[4].category == "5% Labeled"
    assert page.headings == ("Average", "LV")
    assert page.spans == [("HEART", 2)]
    assert column_name(page, page.columns[2]) == "lv_dsc_percent"


def test_a_stacked_table_ranks_each_labels_entry_by_itself():
    numbers = [[value] * 4 for value in (0.9, 0.1, 0.2, 0.3, 0.9, 0.7, 0.6, 0.5)]
    page = small_page(numbers, **STACKED)
    assert [line.numbers[0].rank for line in page.lines] == [0, 0, 2, 1, 0, 1, 2, 0]


def test_a_stacked_table_has_no_other_categories():
    with pytest.raises(ValueError, match="remove category"):
        small_table(**STACKED, rows=[ROWS[0] | {"category": "x"}])
