from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from arco.data import lookup
from arco.data.layouts.lits import DOWNLOAD, EXPECTED_CASES, SUBSETS, find_cases
from arco.errors import ArcoError

BATCHES = ("Training Batch 1", "Training Batch 2")


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def pair(number: int, ending: str = ".nii") -> tuple[str, str]:
    return f"volume-{number}{ending}", f"segmentation-{number}{ending}"


def download(root: Path, batches: tuple[str, str] = BATCHES) -> None:
    """All 131 cases as empty files: the reader goes by names alone."""
    for number in range(131):
        touch(root / batches[number >= 28], *pair(number))


@pytest.mark.parametrize("batches", [BATCHES, ("Training_Batch1", "Training_Batch2"), (".", ".")])
def test_the_complete_download_has_131_cases_in_order_of_their_numbers(
    tmp_path: Path, batches: tuple[str, str]
) -> None:
    download(tmp_path, batches)
    cases = find_cases(tmp_path)
    assert [case.case for case in cases] == [f"lits_{number:03d}" for number in range(131)]
    assert all(case.patient == case.case for case in cases)
    assert cases[28].images == (tmp_path / batches[1] / "volume-28.nii",)
    assert cases[28].label == tmp_path / batches[1] / "segmentation-28.nii"
    assert {subset: EXPECTED_CASES[subset] for subset in SUBSETS} == {"training": len(cases)}


def test_the_archives_are_found_where_they_unpack_each_by_itself_or_together(
    tmp_path: Path,
) -> None:
    inner = "media/nas/01_Datasets/CT/LITS"
    for case, places in {
        "together": [f"{inner}/{batch}" for batch in BATCHES],
        "apart": [f"Training_Batch{n}/{inner}/{batch}" for n, batch in enumerate(BATCHES, start=1)],
    }.items():
        download(tmp_path / case, (places[0], places[1]))
        cases = find_cases(tmp_path / case)
        assert len(cases) == 131
        assert cases[28].images == (tmp_path / case / places[1] / "volume-28.nii",)


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", *pair(3))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/batch").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "root")
    (case,) = find_cases(tmp_path / "root")
    assert case.images == (tmp_path / "root/batch/volume-3.nii",)


def test_a_folder_that_may_not_be_read_is_left_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, *pair(3))
    closed = tmp_path / "lost+found"
    closed.mkdir()
    scan = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(closed))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with caplog.at_level(logging.WARNING, "arco"):
        folders = lookup.folders_below(tmp_path)
    assert folders == [tmp_path]
    assert f"{closed} cannot be read and is left out" in caplog.text


def test_label_maps_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path / "volume_pt1", "volume-3.nii")
    touch(tmp_path / "segmentations", "segmentation-3.nii")
    (case,) = find_cases(tmp_path)
    assert case.images == (tmp_path / "volume_pt1" / "volume-3.nii",)
    assert case.label == tmp_path / "segmentations" / "segmentation-3.nii"


def test_compressed_files_are_read_and_copies_counted_once(tmp_path: Path) -> None:
    touch(tmp_path / BATCHES[0], *pair(5, ".nii.gz"), *pair(5), "volume-6.nii.gz")
    touch(tmp_path / BATCHES[0], "segmentation-6.nii")
    touch(tmp_path, *pair(5), *pair(7))
    five, six, seven = find_cases(tmp_path)
    assert five.images == (tmp_path / BATCHES[0] / "volume-5.nii.gz",)
    assert five.label == tmp_path / BATCHES[0] / "segmentation-5.nii.gz"
    assert six.label == tmp_path / BATCHES[0] / "segmentation-6.nii"
    assert seven.images == (tmp_path / "volume-7.nii",)


def test_test_volumes_hidden_files_and_folders_are_no_cases(tmp_path: Path) -> None:
    touch(tmp_path, *pair(0), "._volume-1.nii", "._segmentation-1.nii")
    touch(
        tmp_path, "test-volume-2.nii", "test-segmentation-2.nii", "volume-3.nii.zip", "volume-.nii"
    )
    touch(tmp_path, "my-volume-4.nii", "segmentation-04.nii")
    touch(tmp_path / ".cache", *pair(5))
    touch(tmp_path / "volume-6.nii", "part")
    touch(tmp_path / "segmentation-6.nii", "part")
    assert [case.case for case in find_cases(tmp_path)] == ["lits_000"]


def test_a_case_without_its_partner_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path / BATCHES[0], *pair(0), *pair(1), "volume-2.nii")
    touch(tmp_path / BATCHES[1], "segmentation-30.nii")
    with caplog.at_level(logging.WARNING, logger="arco"):
        assert [case.case for case in find_cases(tmp_path)] == ["lits_000", "lits_001"]
    (record,) = caplog.records
    assert "2 of 4 cases are left out" in record.getMessage()
    assert "Training Batch 1/segmentation-2.nii" in record.getMessage()


def test_a_folder_without_a_complete_case_is_refused(tmp_path: Path) -> None:
    for root in (tmp_path / "absent", tmp_path):
        with pytest.raises(ArcoError, match=r"holds no pair of volume-0\.nii .*there is none"):
            find_cases(root)
    touch(tmp_path, "segmentation-9.nii")
    with pytest.raises(ArcoError, match=r"volume-9\.nii is missing.*Training Batch 1"):
        find_cases(tmp_path)


def test_the_test_volumes_cannot_be_asked_for(tmp_path: Path) -> None:
    download(tmp_path)
    with pytest.raises(ArcoError, match="no labeled subset 'testing'; choose training"):
        find_cases(tmp_path, ["testing"])


def test_where_to_register_and_how_the_folder_must_look_is_told() -> None:
    assert "https://" in DOWNLOAD
    assert BATCHES[0] in DOWNLOAD
    assert "volume-0.nii" in DOWNLOAD
