from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_scans import (
    SETTINGS,
    contents,
    intensities,
    organ,
    prepare,
    write,
    write_raw_case,
    write_raw_dataset,
)

from arco.data.cases import RawCase
from arco.errors import ArcoError


def spoil_shape(case: RawCase) -> None:
    write(case.label, organ((14, 11, 6)))


def spoil_affine(case: RawCase) -> None:
    write(case.label, organ(), origin=(12.0, -7.0, 3.0))


def spoil_mirror(case: RawCase) -> None:
    write(case.label, organ(), orientation="RPS")


def spoil_value(case: RawCase) -> None:
    write(case.label, np.where(organ() == 3, 7, organ()).astype(np.uint8))


def spoil_gap(case: RawCase) -> None:
    labels = organ().astype(np.int16)
    labels[0, 0, 0] = -1
    write(case.label, labels)


def spoil_fraction(case: RawCase) -> None:
    write(case.label, organ() * 0.5)


def spoil_empty(case: RawCase) -> None:
    write(case.label, organ() * 0)


def spoil_nan(case: RawCase) -> None:
    image = intensities(organ()).astype(np.float32)
    image[1, 2, 3:5] = [np.nan, np.inf]
    write(case.images[0], image)


def spoil_constant(case: RawCase) -> None:
    write(case.images[0], organ() * 0 + 5)


def spoil_bytes(case: RawCase) -> None:
    content = case.images[0].read_bytes()
    case.images[0].write_bytes(content[: len(content) // 2])


def spoil_absence(case: RawCase) -> None:
    case.label.unlink()


BAD_INPUT = {
    spoil_shape: ("labels/b", "14 x 11 x 6 voxels but"),
    spoil_affine: ("labels/b", "by up to 0.8 voxels"),
    spoil_mirror: ("labels/b", "lies elsewhere"),
    spoil_value: ("labels/b", r"no class \(7\); the classes are 0 background, 1 rv"),
    spoil_gap: ("labels/b", r"no class \(-1\)"),
    spoil_fraction: ("labels/b", "not whole numbers"),
    spoil_empty: ("labels/b", "empty: every voxel is background"),
    spoil_nan: ("images/b", "2 voxels that are NaN"),
    spoil_constant: ("images/b", "constant: every voxel is 5"),
    spoil_bytes: ("images/b", "cut short or damaged"),
    spoil_absence: ("labels/b", "missing"),
}


@pytest.mark.parametrize("spoil", BAD_INPUT)
def test_bad_input_is_one_sentence_and_nothing_half_written(
    tmp_path: Path, spoil: Callable[[RawCase], None]
) -> None:
    cases = [write_raw_case(tmp_path / "raw", name) for name in ("a", "b", "c")]
    prepare(cases, tmp_path)  # so that an older manifest is there, and must not survive
    before = contents(tmp_path / "out")
    spoil(cases[1])
    named, said = BAD_INPUT[spoil]
    with pytest.raises(ArcoError, match=said) as caught:
        prepare(cases, tmp_path)
    assert f"{named}.nii.gz" in str(caught.value)
    assert "\n" not in str(caught.value)
    del before["manifest.json"]
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e31])
def test_absurd_voxels_are_refused_in_every_format(tmp_path: Path, value: float) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    image = intensities(organ()).astype(np.float32)
    image[1, 2, 3] = value
    path = tmp_path / "raw" / "a.nrrd"
    write(path, image)
    with pytest.raises(ArcoError, match=r"a\.nrrd holds 1 voxels that are NaN, infinite or beyond"):
        prepare([dataclasses.replace(case, images=(path,))], tmp_path)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("where", ["save", "replace"])
def test_a_full_or_read_only_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, where: str
) -> None:
    case = write_raw_case(tmp_path / "raw", "a")

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(*((np, "save") if where == "save" else (os, "replace")), fail)
    with pytest.raises(ArcoError, match=f"cannot write .*{os.strerror(error).lower()}"):
        prepare([case], tmp_path)
    assert contents(tmp_path / "out") == {}


def test_a_folder_that_cannot_be_changed_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = write_raw_case(tmp_path / "raw", "a")

    def fail(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(ArcoError, match=r"cannot change .*read-only"):
        prepare([case], tmp_path)


def test_a_constant_window_says_so(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    settings = dataclasses.replace(SETTINGS, intensity_window=(5000.0, 6000.0))
    with pytest.raises(ArcoError, match=r"constant within the intensity window \[5000.0, 6000.0\]"):
        prepare([case], tmp_path, settings)


def test_a_case_without_label_and_a_dataset_without_cases_are_refused(tmp_path: Path) -> None:
    case = dataclasses.replace(write_raw_case(tmp_path / "raw", "a"), label=None)
    with pytest.raises(ArcoError, match=r"a\.nii\.gz has no label map"):
        prepare([case], tmp_path)
    with pytest.raises(ArcoError, match="holds no case"):
        prepare([], tmp_path)


def test_an_error_in_another_process_arrives_as_one_sentence(tmp_path: Path) -> None:
    cases = write_raw_dataset(tmp_path / "raw", patients=2)
    spoil_constant(cases[1])
    with pytest.raises(ArcoError, match=r"patient001_frame02\.nii\.gz is constant"):
        prepare(cases, tmp_path, workers=2)
    assert not (tmp_path / "out/manifest.json").exists()
