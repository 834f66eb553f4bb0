from __future__ import annotations

import logging
from pathlib import Path

import pytest

from arco.data.layouts.mpmri import DOWNLOAD, PHASES, find_cases
from arco.errors import ArcoError

FILES = ("pre", "arterial", "venous", "liver")


def add_case(root: Path, name: str, *stems: str, ending: str = ".nii.gz") -> Path:
    """A folder with an empty file for each stem: the reader goes by names alone."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        (folder / f"{stem}{ending}").touch()
    return folder


def test_a_folder_is_a_case_with_a_channel_per_phase(tmp_path: Path) -> None:
    add_case(tmp_path, "b", *FILES)
    folder = add_case(tmp_path, "a", *FILES, "delayed")
    first, second = find_cases(tmp_path)
    assert (first.case, first.patient, second.case) == ("a", "a", "b")
    assert first.images == tuple(folder / f"{phase}.nii.gz" for phase in PHASES)
    assert first.label == folder / "liver.nii.gz"


def test_subsets_choose_phases_and_their_order(tmp_path: Path) -> None:
    folder = add_case(tmp_path, "a", "venous", "delayed", "liver", ending=".nii")
    (case,) = find_cases(tmp_path, ["delayed", "venous"])
    assert case.images == (folder / "delayed.nii", folder / "venous.nii")
    assert case.label == folder / "liver.nii"


def test_compressed_and_uncompressed_copies_are_one_file(tmp_path: Path) -> None:
    folder = add_case(tmp_path, "a", *FILES)
    add_case(tmp_path, "a", *FILES, ending=".nii")
    (case,) = find_cases(tmp_path)
    assert case.images[0] == folder / "pre.nii.gz"


def test_incomplete_cases_are_left_out_with_a_warning_and_others_passed_by(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_case(tmp_path, "a", *FILES)
    add_case(tmp_path, "b", "pre", "venous", "liver")
    add_case(tmp_path, "scripts", "notes", ending=".txt")
    add_case(tmp_path, ".git", *FILES)
    with caplog.at_level(logging.WARNING, logger="arco"):
        assert [case.case for case in find_cases(tmp_path)] == ["a"]
    (record,) = caplog.records
    assert "1 of 2 cases are left out" in record.getMessage()
    assert "b/arterial.nii.gz" in record.getMessage()


def test_a_folder_without_a_complete_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArcoError, match=r"holds no folder with pre\.nii\.gz.*there is none"):
        find_cases(tmp_path / "absent")
    add_case(tmp_path, "a", *PHASES)
    with pytest.raises(ArcoError, match=r"a/liver\.nii\.gz is missing"):
        find_cases(tmp_path)


@pytest.mark.parametrize("name", ["case#1", "case@1"])
def test_names_that_split_lists_would_cut_are_refused(tmp_path: Path, name: str) -> None:
    add_case(tmp_path, name, *FILES)
    with pytest.raises(ArcoError, match=f"case {name} has a # or @ in its name.*rename it"):
        find_cases(tmp_path)


@pytest.mark.parametrize("phases", [[], ["pre", "pre"], ["pre", "liver"]])
def test_phases_that_cannot_be_channels_are_refused(tmp_path: Path, phases: list[str]) -> None:
    add_case(tmp_path, "a", *FILES)
    with pytest.raises(ArcoError, match="each once and without liver"):
        find_cases(tmp_path, phases)


def test_what_to_do_without_a_download_is_told() -> None:
    assert "in-house" in DOWNLOAD
    assert "docs/datasets/mpmri.md" in DOWNLOAD
    for name in FILES:
        assert f"{name}.nii.gz" in DOWNLOAD
