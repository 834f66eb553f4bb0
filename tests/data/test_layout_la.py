from __future__ import annotations

import logging
from pathlib import Path

import pytest

from arco.data.layouts.la import DOWNLOAD, EXPECTED_CASES, find_cases
from arco.errors import ArcoError

BOTH = ("lgemri.nrrd", "laendo.nrrd")


def add_case(parent: Path, name: str, *files: str) -> Path:
    """Empty files of one case: the reader goes by names alone."""
    folder = parent / name
    folder.mkdir(parents=True)
    for file in files or BOTH:
        (folder / file).touch()
    return folder


def names(root: Path, *subsets: str) -> list[str]:
    return [case.case for case in find_cases(root, subsets or ("training",))]


def test_each_folder_is_a_case_and_a_patient(tmp_path: Path) -> None:
    folder = add_case(tmp_path / "Training Set", "0RZDK210BSMWAA6467LU", *BOTH, "lawall.nrrd")
    add_case(tmp_path / "Training Set", "ZZZ")
    first, second = find_cases(tmp_path)
    assert (first.case, first.patient, second.case) == (folder.name, folder.name, "ZZZ")
    assert first.images == (folder / "lgemri.nrrd",)
    assert first.label == folder / "laendo.nrrd"


@pytest.mark.parametrize(
    "place", ["Training Set", "2018_UTAH_MICCAI/Training Set", "2018LA_Seg_Training Set", ""]
)
def test_the_folder_may_lie_where_the_archives_put_it(tmp_path: Path, place: str) -> None:
    add_case(tmp_path / place, "AAA")
    assert names(tmp_path) == ["AAA"]


def test_testing_is_read_only_if_asked(tmp_path: Path) -> None:
    add_case(tmp_path / "Training Set", "AAA")
    add_case(tmp_path / "Testing Set", "BBB")
    assert names(tmp_path) == ["AAA"]
    assert names(tmp_path, "training", "testing") == ["AAA", "BBB"]
    assert EXPECTED_CASES == {"training": 100, "testing": 54}


def test_the_public_form_is_read_where_nothing_else_is_there(tmp_path: Path) -> None:
    parent = tmp_path / "2018LA_Seg_Training Set"
    both = add_case(parent, "AAA", *BOTH, "mri_norm2.h5")
    alone = add_case(parent, "BBB", "mri_norm2.h5")
    half = add_case(parent, "CCC", "mri_norm2.h5", "lgemri.nrrd")
    cases = find_cases(tmp_path)
    assert cases[0].images == (both / "lgemri.nrrd",)
    for case, folder in zip(cases[1:], (alone, half), strict=True):
        assert case.images == (folder / "mri_norm2.h5",)
        assert case.label == folder / "mri_norm2.h5"


def test_stray_files_and_folders_are_passed_by(tmp_path: Path) -> None:
    parent = tmp_path / "Training Set"
    folder = add_case(parent, "AAA", *BOTH, "desktop.ini", "._lgemri.nrrd", "notes.nrrd")
    add_case(parent, ".hidden")
    add_case(parent, "empty", "readme.txt")
    add_case(tmp_path / "__MACOSX" / "Training Set", "AAA", "._lgemri.nrrd")
    (parent / "train.list").touch()
    (case,) = find_cases(tmp_path)
    assert case.images == (folder / "lgemri.nrrd",)


def test_incomplete_cases_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_case(tmp_path / "Training Set", "AAA")
    add_case(tmp_path / "Training Set", "BBB", "lgemri.nrrd")
    add_case(tmp_path / "Training Set", "CCC", "laendo.nrrd")
    with caplog.at_level(logging.WARNING):
        assert names(tmp_path) == ["AAA"]
    (said,) = caplog.messages
    assert "2 of 3 cases are left out" in said
    assert said.endswith("BBB/laendo.nrrd")


def test_a_folder_without_cases_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArcoError, match=r"Training Set holds no cases; .*`arco doctor`"):
        find_cases(tmp_path)
    add_case(tmp_path / "Training Set", "BBB", "lgemri.nrrd")
    with pytest.raises(ArcoError, match=r"no complete case: .*BBB/laendo\.nrrd is missing"):
        find_cases(tmp_path)
    with pytest.raises(ArcoError, match="no subset 'validation'; choose from training, testing"):
        find_cases(tmp_path, ("validation",))
    with pytest.raises(ArcoError, match="Testing Set holds no cases"):
        find_cases(tmp_path, ("testing",))


def test_a_case_in_both_subsets_is_refused(tmp_path: Path) -> None:
    add_case(tmp_path / "Training Set", "AAA")
    add_case(tmp_path / "Testing Set", "AAA")
    with pytest.raises(ArcoError, match="case AAA was found twice"):
        find_cases(tmp_path, ("training", "testing"))


def test_the_download_note_is_one_paragraph() -> None:
    assert "cardiacatlas.org" in DOWNLOAD
    assert "\n" not in DOWNLOAD
