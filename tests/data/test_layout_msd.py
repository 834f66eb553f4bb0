from __future__ import annotations

import json
from pathlib import Path

import pytest

from arco.data.layouts.msd import DOWNLOAD, find_cases
from arco.errors import ArcoError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def describe(root: Path, **content: object) -> Path:
    path = root / "dataset.json"
    path.write_text(json.dumps(content))
    return path


def pair(case: str, ending: str = ".nii.gz") -> dict[str, str]:
    return {"image": f"./imagesTr/{case}{ending}", "label": f"./labelsTr/{case}{ending}"}


ONE_CHANNEL = {"0": "MRI"}


def test_the_listed_cases_are_found_in_order_and_nothing_else(tmp_path: Path) -> None:
    for case in ("b_003", "a_001", "c_unlisted", "._a_001"):
        touch(tmp_path, f"imagesTr/{case}.nii.gz", f"labelsTr/{case}.nii.gz")
    describe(tmp_path, modality=ONE_CHANNEL, training=[pair("b_003"), pair("a_001")])
    first, second = find_cases(tmp_path)
    assert (first.case, first.patient, second.case) == ("a_001", "a_001", "b_003")
    assert first.images == (tmp_path / "imagesTr/a_001.nii.gz",)
    assert first.label == tmp_path / "labelsTr/a_001.nii.gz"


def test_without_a_list_the_label_files_are_the_cases(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/x_1_0000.nii.gz", "imagesTr/x_1_0001.nii.gz", "labelsTr/x_1.nii.gz")
    touch(tmp_path, "imagesTr/._x_1_0000.nii.gz", "labelsTr/._x_1.nii.gz", "labelsTr/notes.txt")
    describe(tmp_path, channel_names={"0": "T1", "1": "T2"}, labels={"background": 0})
    (case,) = find_cases(tmp_path)
    assert case.case == "x_1"
    names = [path.name for path in case.images]
    assert names == ["x_1_0000.nii.gz", "x_1_0001.nii.gz"]


def test_a_list_without_suffixes_finds_files_with_them(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/x_1_0000.nii.gz", "labelsTr/x_1.nii.gz")
    describe(tmp_path, modality=ONE_CHANNEL, training=[pair("x_1")])
    assert find_cases(tmp_path)[0].images == (tmp_path / "imagesTr/x_1_0000.nii.gz",)


def test_another_file_ending_is_followed(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/x_1_0000.mha", "labelsTr/x_1.mha")
    describe(tmp_path, channel_names=ONE_CHANNEL, file_ending=".mha")
    (case,) = find_cases(tmp_path)
    assert (case.case, case.images[0].name) == ("x_1", "x_1_0000.mha")


@pytest.mark.parametrize("name", ["imagesTr/x_1.nii.gz", "labelsTr/x_1.nii.gz"])
def test_a_listed_file_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "imagesTr/x_1.nii.gz", "labelsTr/x_1.nii.gz")
    describe(tmp_path, modality=ONE_CHANNEL, training=[pair("x_1")])
    (tmp_path / name).unlink()
    with pytest.raises(ArcoError, match=rf"{tmp_path / name}.* is missing"):
        find_cases(tmp_path)


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/x_1_0000.nii.gz", "labelsTr/x_1.nii.gz")
    describe(tmp_path, channel_names={"0": "T1", "1": "T2"})
    with pytest.raises(ArcoError, match=r"imagesTr/x_1_0001\.nii\.gz is missing"):
        find_cases(tmp_path)


def test_several_channels_in_one_file_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/x_1.nii.gz", "labelsTr/x_1.nii.gz")
    describe(tmp_path, modality={"0": "T1", "1": "T2"}, training=[pair("x_1")])
    with pytest.raises(ArcoError, match=r"x_1\.nii\.gz keeps 2 channels .* x_1_0000\.nii\.gz"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "needs 'modality' or 'channel_names'"),
        ({"modality": "MRI"}, "needs 'modality' or 'channel_names'"),
        ({"modality": ONE_CHANNEL}, r"labelsTr holds no \*\.nii\.gz file"),
        ({"modality": ONE_CHANNEL, "training": []}, "'training' must be a list of cases"),
        ({"modality": ONE_CHANNEL, "training": {"x": "y"}}, "'training' must be a list of cases"),
        ({"modality": ONE_CHANNEL, "training": ["x"]}, "must name an 'image' and a 'label'"),
        ({"modality": ONE_CHANNEL, "training": [{"image": "x"}]}, "must name an 'image'"),
        ({"modality": ONE_CHANNEL, "training": [pair("x", ".mha")]}, r"does not end in \.nii\.gz"),
    ],
)
def test_an_unusable_description_is_named(
    tmp_path: Path, content: dict[str, object], complaint: str
) -> None:
    describe(tmp_path, **content)
    with pytest.raises(ArcoError, match=complaint) as raised:
        find_cases(tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_a_description_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("[1, 2]")
    with pytest.raises(ArcoError, match="must hold a JSON object"):
        find_cases(tmp_path)


def test_a_case_listed_twice_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/x_1.nii.gz", "labelsTr/x_1.nii.gz")
    describe(tmp_path, modality=ONE_CHANNEL, training=[pair("x_1"), pair("x_1")])
    with pytest.raises(ArcoError, match="case x_1 was found twice"):
        find_cases(tmp_path)


def test_an_absent_description_and_another_subset_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArcoError, match=r"dataset\.json is missing; .*`arco doctor`"):
        find_cases(tmp_path)
    with pytest.raises(ArcoError, match="no labeled subset 'testing'; choose training"):
        find_cases(tmp_path, ("testing",))


def test_the_download_note_is_one_paragraph() -> None:
    assert "medicaldecathlon" in DOWNLOAD
    assert "\n" not in DOWNLOAD


def test_the_real_hippocampus_folder_has_260_cases(hippocampus: Path) -> None:
    cases = find_cases(hippocampus)
    assert len(cases) == 260
    assert (cases[0].case, cases[1].case) == ("hippocampus_001", "hippocampus_003")
    assert all(len(case.images) == 1 and case.label is not None for case in cases)
