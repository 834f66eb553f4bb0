from __future__ import annotations

from pathlib import Path

import pytest

from arco.data.layouts.acdc import DOWNLOAD, find_cases
from arco.errors import ArcoError

INFO = "ED: {ed}\nES: {es}\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n"


def add_patient(
    parent: Path, number: int, ed: int = 1, es: int = 12, ending: str = ".nii.gz"
) -> Path:
    """An empty file for each file of one patient: the reader goes by names alone."""
    folder = parent / f"patient{number:03d}"
    folder.mkdir(parents=True)
    (folder / "Info.cfg").write_text(INFO.format(ed=ed, es=es))
    (folder / f"{folder.name}_4d.nii.gz").touch()
    for frame in (ed, es):
        for part in ("", "_gt"):
            (folder / f"{folder.name}_frame{frame:02d}{part}{ending}").touch()
    return folder


def test_each_patient_gives_two_cases_named_by_the_frames_of_info_cfg(tmp_path: Path) -> None:
    add_patient(tmp_path / "training", 2, ed=4, es=15)
    folder = add_patient(tmp_path / "training", 1, ed=1, es=9)
    cases = find_cases(tmp_path)
    assert [case.case for case in cases] == [
        "patient001_frame01",
        "patient001_frame09",
        "patient002_frame04",
        "patient002_frame15",
    ]
    assert [case.patient for case in cases] == ["patient001"] * 2 + ["patient002"] * 2
    assert cases[1].images == (folder / "patient001_frame09.nii.gz",)
    assert cases[1].label == folder / "patient001_frame09_gt.nii.gz"


def test_the_hundred_patients_of_training_are_two_hundred_scans(tmp_path: Path) -> None:
    for number in range(1, 101):
        add_patient(tmp_path / "training", number, es=7 + number % 9)
    add_patient(tmp_path / "testing", 101)
    assert len(find_cases(tmp_path)) == 200
    both = find_cases(tmp_path, ("training", "testing"))
    assert len(both) == 202
    assert [case.patient for case in both[-2:]] == ["patient101"] * 2


def test_stray_files_are_neither_counted_nor_read_twice(tmp_path: Path) -> None:
    folder = add_patient(tmp_path / "training", 1)
    before = find_cases(tmp_path)
    for name in (
        "patient001_frame01.nii",
        "patient001_frame01_gt.nii",
        "patient001_frame05.nii.gz",
    ):
        (folder / name).touch()
    (folder / "patient001.Info.cfg").write_text(INFO.format(ed=3, es=4))
    (tmp_path / "training" / "MANDATORY_CITATION.md").touch()
    (tmp_path / "training" / ".DS_Store").touch()
    (tmp_path / "training" / "patient002.zip").touch()
    (tmp_path / "training" / "patients").mkdir()
    assert find_cases(tmp_path) == before


def test_an_uncompressed_file_is_read_where_it_is_the_only_one(tmp_path: Path) -> None:
    folder = add_patient(tmp_path / "training", 1, ending=".nii")
    (folder / "patient001_frame12_gt.nii.gz").touch()
    diastole, systole = find_cases(tmp_path)
    assert diastole.images == (folder / "patient001_frame01.nii",)
    assert systole.images == (folder / "patient001_frame12.nii",)
    assert systole.label == folder / "patient001_frame12_gt.nii.gz"


def test_the_four_dimensional_file_may_be_absent(tmp_path: Path) -> None:
    folder = add_patient(tmp_path / "training", 1)
    (folder / "patient001_4d.nii.gz").unlink()
    assert len(find_cases(tmp_path)) == 2


def test_the_root_may_hold_a_folder_database(tmp_path: Path) -> None:
    add_patient(tmp_path / "database" / "training", 1)
    assert len(find_cases(tmp_path)) == 2


@pytest.mark.parametrize(
    "name", ["Info.cfg", "patient001_frame12.nii.gz", "patient001_frame01_gt.nii.gz"]
)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    missing = add_patient(tmp_path / "training", 1) / name
    missing.unlink()
    with pytest.raises(ArcoError, match=rf"{missing} is missing; .*restore it"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "no line 'ED: <frame number>'"),
        ("ED: 1\nGroup: NOR\n", "no line 'ES: <frame number>'"),
        ("ED: one\nES: 12\n", "no line 'ED: <frame number>'"),
        ("ED: 1\nES: -12\n", "no line 'ES: <frame number>'"),
        ("ED: 7\nES: 7\n", "same frame 7"),
    ],
)
def test_an_unusable_info_cfg_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    info = add_patient(tmp_path / "training", 1) / "Info.cfg"
    info.write_text(content)
    with pytest.raises(ArcoError, match=complaint) as raised:
        find_cases(tmp_path)
    assert str(info) in str(raised.value)


def test_windows_line_ends_and_spaces_in_info_cfg_do_not_matter(tmp_path: Path) -> None:
    info = add_patient(tmp_path / "training", 1) / "Info.cfg"
    info.write_bytes(b"ED : 1 \r\nES:12\r\nGroup: DCM\r\n")
    assert len(find_cases(tmp_path)) == 2


def test_testing_without_its_published_labels_is_refused(tmp_path: Path) -> None:
    folder = add_patient(tmp_path / "testing", 101)
    (folder / "patient101_frame01_gt.nii.gz").unlink()
    with pytest.raises(ArcoError, match=r"patient101_frame01_gt\.nii\.gz is missing"):
        find_cases(tmp_path, ("testing",))


def test_a_patient_in_both_subsets_is_refused(tmp_path: Path) -> None:
    add_patient(tmp_path / "training", 1)
    add_patient(tmp_path / "testing", 1)
    with pytest.raises(ArcoError, match="case patient001_frame01 was found twice"):
        find_cases(tmp_path, ("training", "testing"))


def test_an_unknown_subset_and_an_empty_root_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArcoError, match="no subset 'train'; choose from training, testing"):
        find_cases(tmp_path, ("train",))
    with pytest.raises(ArcoError, match=r"training holds no patient folders; .*`arco doctor`"):
        find_cases(tmp_path)


def test_the_download_note_is_one_paragraph() -> None:
    assert "https://" in DOWNLOAD
    assert "\n" not in DOWNLOAD
