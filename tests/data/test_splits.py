from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_scans import record_of

from arco.data.lists import Entry, parse_list, read_labeled, read_part, slices_of
from arco.data.manifest import CaseRecord, Manifest
from arco.data.splits import (
    count_slices,
    shuffled_patients,
    spread_slices,
    write_labeled,
    write_parts,
)
from arco.errors import ArcoError
from arco.schema.datasets import Budget, Split

SIZES = Split(train=6, val=2, test=2, seed=0)


def records_of(patients: int = 10) -> dict[str, CaseRecord]:
    """Two frames for each patient."""
    return {
        f"p{patient:02d}_f{frame}": record_of(f"p{patient:02d}")
        for patient in range(1, patients + 1)
        for frame in (1, 2)
    }


RECORDS = records_of()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Where a user puts lists."""
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """The splits folder of a prepared dataset."""
    return tmp_path / "splits"


def patients_in(path: Path) -> list[str]:
    return list(dict.fromkeys(RECORDS[case].patient for case in read_part(path, RECORDS)))


def test_parts_have_the_wanted_patients_with_all_their_scans(lists: Path, own: Path) -> None:
    write_parts(lists, RECORDS, SIZES, own)
    parts = {part: patients_in(lists / f"{part}.txt") for part in ("train", "val", "test")}
    assert {part: len(patients) for part, patients in parts.items()} == {
        "train": 6, "val": 2, "test": 2
    }  # fmt: skip
    assert len(set().union(*parts.values())) == 10
    for part, patients in parts.items():
        cases = read_part(lists / f"{part}.txt", RECORDS)
        assert cases == [f"{patient}_f{frame}" for patient in patients for frame in (1, 2)]


def test_the_seed_decides_the_parts_for_ever() -> None:
    # Written out: these lists must not change with any library, or published numbers would.
    assert shuffled_patients(RECORDS, 0) == [
        "p05", "p08", "p01", "p02", "p07", "p10", "p03", "p09", "p04", "p06"
    ]  # fmt: skip
    assert shuffled_patients(RECORDS, 1) != shuffled_patients(RECORDS, 0)


def test_a_missing_patient_leaves_the_order_of_the_others() -> None:
    fewer = {case: record for case, record in RECORDS.items() if record.patient != "p05"}
    rest = [patient for patient in shuffled_patients(RECORDS, 0) if patient != "p05"]
    assert shuffled_patients(fewer, 0) == rest


def test_patients_beyond_the_sizes_are_left_out(lists: Path, own: Path) -> None:
    write_parts(lists, RECORDS, Split(train=3, val=0, test=2, seed=0), own)
    assert len(patients_in(lists / "train.txt")) == 3
    assert (lists / "val.txt").read_text() == "# 0 patients, drawn with seed 0\n"
    with pytest.raises(ArcoError, match=r"val\.txt names no case"):
        read_part(lists / "val.txt", RECORDS)


def test_too_few_patients_are_a_clear_error_and_nothing_is_written(lists: Path, own: Path) -> None:
    asked = r"datasets\.heart\.split asks for 6 train \+ 2 val \+ 2 test patients but only 7 are"
    for patients, hint in (
        (7, r"lower the numbers \(train: 3 would fit\), or"),
        (4, "numbers, or"),
    ):
        with pytest.raises(ArcoError, match=asked.replace("7", str(patients))) as caught:
            write_parts(lists, records_of(patients), SIZES, own, "datasets.heart")
        assert re.search(hint, str(caught.value))
    assert not lists.exists()


def test_labeled_patients_are_the_first_of_training_and_nested(lists: Path, own: Path) -> None:
    write_parts(lists, RECORDS, SIZES, own)
    train = patients_in(lists / "train.txt")
    for name, count in (("1pct", 1), ("5pct", 3), ("10pct", 6)):
        write_labeled(lists, RECORDS, Budget(patients=count, slices=1.0), name, own)
        assert patients_in(lists / f"labeled_{name}.txt") == train[:count]
    entries = read_labeled(lists / "labeled_5pct.txt", RECORDS, lists / "train.txt")
    assert len(slices_of(entries, RECORDS)) == 3 * 2 * 4
    with pytest.raises(ArcoError, match="holds 6 patients but the budget 20pct labels 7") as caught:
        write_labeled(
            lists, RECORDS, Budget(patients=7, slices=1.0), "20pct", own, "datasets.heart"
        )
    assert "datasets.heart.labels of params.yaml" in str(caught.value)


def test_a_share_of_a_patient_names_single_slices_with_organs(lists: Path, own: Path) -> None:
    write_parts(lists, RECORDS, SIZES, own)
    write_labeled(lists, RECORDS, Budget(patients=1, slices=0.5), "1pct", own)
    first = patients_in(lists / "train.txt")[0]
    text = (lists / "labeled_1pct.txt").read_text()
    # Slices 1, 2 and 3 show something; half of four slices are two of them.
    assert text == (
        "# the first 1 patients of train.txt, 0.5 of the slices of each scan\n"
        f"{first}_f1@1\n{first}_f1@2\n{first}_f2@1\n{first}_f2@2\n"
    )
    manifest = asdict(Manifest("raw", {}, RECORDS))
    assert count_slices(lists / "labeled_1pct.txt", manifest) == 4
    assert count_slices(lists / "train.txt", manifest) == 6 * 2 * 4


def test_spread_slices_halve_the_gaps_one_after_the_other() -> None:
    foreground = [0] + [5] * 8 + [0]
    assert spread_slices(foreground, 0.01) == [5]
    assert spread_slices(foreground, 0.2) == [3, 5]
    assert spread_slices(foreground, 0.4) == [2, 3, 5, 7]
    assert spread_slices(foreground, 1.0) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert spread_slices([0, 0], 0.5) == []


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40).filter(any),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
)
def test_a_larger_share_contains_a_smaller_one(
    foreground: list[int], one: float, other: float
) -> None:
    small, large = (spread_slices(foreground, share) for share in sorted((one, other)))
    assert set(small) <= set(large)
    assert all(foreground[index] for index in large)
    wanted = max(1, round(max(one, other) * len(foreground)))
    assert len(large) == min(wanted, sum(pixels > 0 for pixels in foreground))


def test_a_users_list_replaces_the_drawn_one_and_the_others_fit_in(lists: Path, own: Path) -> None:
    (own / "test.txt").write_text("# published\n\np05_f1\np05_f2   # else in train\n")
    write_parts(lists, RECORDS, SIZES, own)
    assert (lists / "test.txt").read_text() == (own / "test.txt").read_text()
    drawn = [patient for patient in shuffled_patients(RECORDS, 0) if patient != "p05"]
    assert patients_in(lists / "train.txt") == drawn[:6]
    assert patients_in(lists / "val.txt") == drawn[6:8]


def test_labeled_patients_follow_the_order_of_a_users_training_list(lists: Path, own: Path) -> None:
    (own / "train.txt").write_text("p09_f1\np09_f2\np02_f1\n")
    write_parts(lists, RECORDS, SIZES, own)
    write_labeled(lists, RECORDS, Budget(patients=1, slices=1.0), "1pct", own)
    assert patients_in(lists / "labeled_1pct.txt") == ["p09"]
    (own / "labeled_5pct.txt").write_text("p02_f1@3\np02_f1@0\n")
    write_labeled(lists, RECORDS, Budget(patients=3, slices=1.0), "5pct", own)
    entries = read_labeled(lists / "labeled_5pct.txt", RECORDS, lists / "train.txt")
    assert entries == [Entry("p02_f1", 3, 1), Entry("p02_f1", 0, 2)]
    assert slices_of(entries, RECORDS) == [("p02_f1", 3), ("p02_f1", 0)]


def test_a_patient_in_two_lists_is_refused_with_both_lines(lists: Path, own: Path) -> None:
    (own / "train.txt").write_text("p01_f1\np02_f1\n")
    (own / "test.txt").write_text("# test\np03_f1\np02_f2\n")
    said = r"test\.txt line 3: p02_f2 is of patient p02, who is in .*train\.txt line 2 \(p02_f1\)"
    with pytest.raises(ArcoError, match=said):
        write_parts(lists, RECORDS, SIZES, own)
    assert not lists.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p01_f1\np99_f1\n", r"line 2: there is no case p99_f1 .*correct the name"),
        ("p01_f1\n\np01_f1\n", r"line 3: p01_f1 is in line 1 already"),
        ("p01_f1@2\n", r"line 1: p01_f1@2 is a single slice; write p01_f1"),
        ("# nothing\n", "names no case; fill it or delete it"),
    ],
)
def test_a_wrong_part_list_is_refused_with_file_and_line(
    lists: Path, own: Path, text: str, said: str
) -> None:
    (own / "val.txt").write_text(text)
    with pytest.raises(ArcoError, match=rf"own/val\.txt {said}"):
        write_parts(lists, RECORDS, SIZES, own)
    assert not lists.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{train}\n{test}\n", r"line 2: .* is not in .*train\.txt; remove it here or add"),
        ("{train}@4\n", r"line 1: .*@4 names no slice; write .*@0 to .*@3"),
        ("{train}@-1\n", "line 1: .*@-1 names no slice"),
        ("{train}@\n", "line 1: .*@ names no slice"),
        ("{train}@1\n{train}@1\n", "line 2: .*@1 is in line 1 already"),
        ("{train}\n{train}@1\n", "line 2: .*@1 is in line 1 already"),
        ("{train}@1\n{train}\n", "line 2: .* is in line 1 already"),
    ],
)
def test_a_wrong_labeled_list_is_refused_with_file_and_line(
    lists: Path, own: Path, text: str, said: str
) -> None:
    write_parts(lists, RECORDS, SIZES, own)
    cases = {part: read_part(lists / f"{part}.txt", RECORDS)[0] for part in ("train", "test")}
    (own / "labeled_1pct.txt").write_text(text.format(**cases))
    with pytest.raises(ArcoError, match=rf"own/labeled_1pct\.txt {said}"):
        write_labeled(lists, RECORDS, Budget(patients=1, slices=1.0), "1pct", own)
    assert not (lists / "labeled_1pct.txt").exists()


def test_spaces_comments_and_windows_line_ends_do_not_matter() -> None:
    text = "\r\n  p01_f1 \r\n#p02_f1\r\np02_f2@3# apex\r\n"
    assert parse_list(text, Path("a.txt"), RECORDS) == [
        Entry("p01_f1", None, 2),
        Entry("p02_f2", 3, 4),
    ]


def test_a_missing_list_is_one_sentence(lists: Path) -> None:
    with pytest.raises(ArcoError, match=r"train\.txt is missing"):
        read_part(lists / "train.txt", RECORDS)
