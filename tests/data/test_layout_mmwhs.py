from __future__ import annotations

import logging
from pathlib import Path

import pytest

from arco.data.layouts.mmwhs import DOWNLOAD, EXPECTED_CASES, SUBSETS, find_cases
from arco.errors import ArcoError


def add_scan(folder: Path, number: int, prefix: str = "mr_train", ending: str = ".nii.gz") -> None:
    """An empty file for each file of one scan: the reader goes by names alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("image", "label"):
        (folder / f"{prefix}_{number}_{part}{ending}").touch()


def test_each_scan_is_a_case_and_a_patient(tmp_path: Path) -> None:
    folder = tmp_path / "mr_train"
    add_scan(folder, 1002)
    add_scan(folder, 1001)
    first, second = find_cases(tmp_path)
    assert (first.case, first.patient) == ("mr_train_1001", "mr_train_1001")
    assert first.images == (folder / "mr_train_1001_image.nii.gz",)
    assert first.label == folder / "mr_train_1001_label.nii.gz"
    assert second.case == "mr_train_1002"


@pytest.mark.parametrize(
    "place",
    ["{prefix}", "MM-WHS 2017 Dataset/{prefix}", ".", "MM-WHS 2017 Dataset"],
)
def test_the_folders_of_the_download_and_a_flat_one_are_found(tmp_path: Path, place: str) -> None:
    for prefix in SUBSETS.values():
        for number in range(1001, 1021):
            add_scan(tmp_path / place.format(prefix=prefix), number, prefix)
    for subset, prefix in SUBSETS.items():
        cases = find_cases(tmp_path, [subset])
        assert len(cases) == EXPECTED_CASES[subset]
        assert cases[-1].case == f"{prefix}_1020"
    assert len(find_cases(tmp_path)) == 20
    both = find_cases(tmp_path, ["mr", "ct"])
    assert [case.case for case in both[19:21]] == ["ct_train_1020", "mr_train_1001"]


def test_parts_and_label_maps_in_folders_of_their_own_are_found(tmp_path: Path) -> None:
    add_scan(tmp_path / "ct_train1", 1001, "ct_train")
    add_scan(tmp_path / "ct_train2", 1011, "ct_train")
    image = tmp_path / "images" / "ct_train_1012_image.nii.gz"
    label = tmp_path / "labels" / "ct_train_1012_label.nii.gz"
    for path in (image, label):
        path.parent.mkdir()
        path.touch()
    cases = find_cases(tmp_path, ["ct"])
    assert [case.case[-4:] for case in cases] == ["1001", "1011", "1012"]
    assert (cases[2].images, cases[2].label) == ((image,), label)


def test_test_scans_and_stray_files_are_no_cases(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "mr_train"):
        add_scan(folder, 1001)
        (folder / "mr_test_2001_image.nii.gz").touch()
        (folder / "._mr_train_1002_image.nii.gz").touch()
        (folder / "mr_train_1003_image.nii.gz.part").touch()
        (folder / "mr_train_1003_image(1).nii.gz").touch()
        (folder / "mr_train.zip").touch()
        assert [case.case for case in find_cases(tmp_path)] == ["mr_train_1001"]


def test_an_uncompressed_file_is_read_where_it_is_the_only_one(tmp_path: Path) -> None:
    add_scan(tmp_path, 1001)
    add_scan(tmp_path, 1001, ending=".nii")
    add_scan(tmp_path, 1002, ending=".nii")
    first, second = find_cases(tmp_path)
    assert first.images == (tmp_path / "mr_train_1001_image.nii.gz",)
    assert second.label == tmp_path / "mr_train_1002_label.nii"


def test_incomplete_scans_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "ct_train"
    for number in (1001, 1002, 1003):
        add_scan(folder, number, "ct_train")
    (folder / "ct_train_1001_label.nii.gz").unlink()
    (folder / "ct_train_1003_image.nii.gz").unlink()
    with caplog.at_level(logging.WARNING, "arco"):
        cases = find_cases(tmp_path, ["ct"])
    assert [case.case for case in cases] == ["ct_train_1002"]
    assert "2 of 3 cases are left out because a file is missing" in caplog.text
    assert "such as ct_train/ct_train_1001_label.nii.gz" in caplog.text


def test_without_a_complete_case_the_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "mr_train" / "mr_train_1001_label.nii.gz"
    add_scan(tmp_path / "mr_train", 1001)
    missing.unlink()
    with pytest.raises(ArcoError, match=f"no complete case: {missing} is missing; restore it"):
        find_cases(tmp_path)


def test_an_unknown_subset_and_an_empty_root_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArcoError, match="no subset 'mri'; choose from mr, ct"):
        find_cases(tmp_path, ["mri"])
    add_scan(tmp_path / "mr_train", 1001)
    with pytest.raises(ArcoError, match=r"its folders hold no ct_train_1001_image.*`arco doctor`"):
        find_cases(tmp_path, ["ct"])


def test_the_download_note_is_one_paragraph() -> None:
    assert "https://" in DOWNLOAD
    assert "\n" not in DOWNLOAD
