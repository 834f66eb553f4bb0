"""Scans truncated to percentiles of their own voxels before they are scaled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_scans import (
    CLASSES,
    SETTINGS,
    ignore_progress,
    intensities,
    organ,
    prepare,
    write,
    write_raw_case,
)

from arco import jobs, params, registry
from arco.data import stages
from arco.data.conversion import PreparationSettings
from arco.data.cropping import Crop
from arco.data.manifest import read_manifest
from arco.errors import ArcoError
from arco.plan import Plan, canonical

WHOLE = PreparationSettings(CLASSES, None, None, 1)


def prepared(tmp_path: Path, array: np.ndarray, settings: PreparationSettings) -> np.ndarray:
    """One scan of these values, prepared: [channels, Z, H, W]."""
    case = write_raw_case(tmp_path / "raw", "a")
    write(case.images[0], array.astype(np.int16))
    prepare([case], tmp_path, settings)
    return np.load(tmp_path / "out/images/a.npy")


def with_percentiles(low: float, high: float) -> PreparationSettings:
    return dataclasses.replace(WHOLE, intensity_percentiles=(low, high))


def test_a_volume_is_truncated_to_its_percentiles_and_fills_0_to_1(tmp_path: Path) -> None:
    ramp = np.random.default_rng(0).permutation(6 * 10 * 14).reshape(6, 10, 14)
    images = prepared(tmp_path, ramp, with_percentiles(10, 75))
    low, high = 0.10 * 839, 0.75 * 839  # the voxels are 0, 1, ..., 839
    np.testing.assert_allclose(images[0], ((ramp - low) / (high - low)).clip(0, 1), atol=1e-6)
    assert (images.min(), images.max()) == (0, 1)


def test_outlier_voxels_leave_a_scan_its_contrast(tmp_path: Path) -> None:
    scan = intensities(organ())
    bright = scan.copy()
    bright[1, 2, 3:6] = 30_000
    dark = prepared(tmp_path, bright, WHOLE)
    assert np.percentile(dark, 98) < 0.03
    kept = prepared(tmp_path, bright, with_percentiles(0, 99))
    plain = prepared(tmp_path, scan, WHOLE)
    usual = bright < 30_000
    assert np.abs(kept - plain)[0][usual].max() < 0.05
    assert np.all(kept[0][~usual] == 1)


def test_from_0_to_100_percent_is_scaling_by_minimum_and_maximum(tmp_path: Path) -> None:
    scan = intensities(organ())
    assert np.array_equal(
        prepared(tmp_path, scan, with_percentiles(0, 100)), prepared(tmp_path, scan, WHOLE)
    )


def test_slices_are_truncated_by_the_whole_scan_and_before_they_are_resampled(
    tmp_path: Path,
) -> None:
    stripes = np.broadcast_to(np.array([0, 100] * 7), (6, 10, 14)).copy()
    stripes[4, :, 1::2] = 900
    settings = dataclasses.replace(with_percentiles(0, 80), image_size=(10, 7))
    # The bright slice is a twelfth of the scan. Pairs of pixels become one, half way from 0 to 100,
    # which is the highest value that is left.
    np.testing.assert_allclose(prepared(tmp_path, stripes, settings), 0.5, atol=1e-6)


def test_a_window_and_percentiles_leave_what_lies_within_both(tmp_path: Path) -> None:
    ramp = np.random.default_rng(0).permutation(6 * 10 * 14).reshape(6, 10, 14)
    settings = dataclasses.replace(with_percentiles(0, 50), intensity_window=(400.0, 500.0))
    images = prepared(tmp_path, ramp, settings)  # the median of 0, 1, ..., 839 is 419.5
    np.testing.assert_allclose(images[0], ((ramp - 400) / 19.5).clip(0, 1), atol=1e-5)


def test_the_percentiles_are_those_of_the_crop(tmp_path: Path) -> None:
    ramp = np.random.default_rng(0).permutation(6 * 10 * 14).reshape(6, 10, 14)
    middle = Crop("center", (None, 6.3, 9.0), (0.0, 0.0, 0.0))
    plain = dataclasses.replace(with_percentiles(0, 50), crop=middle)
    inside = prepared(tmp_path, ramp, plain)
    assert inside.shape[2:] != ramp.shape[1:]
    assert (inside == 1).mean() == pytest.approx(0.5, abs=0.01)
    edge = ramp.copy()
    edge[:, 0], edge[:, -1] = 20_000, -20_000
    assert np.array_equal(prepared(tmp_path, edge, plain), inside)


def test_channels_are_truncated_each_by_itself(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    ramp = np.random.default_rng(0).permutation(6 * 10 * 14).reshape(6, 10, 14)
    second = tmp_path / "raw/images/a_0001.nii.gz"
    write(case.images[0], ramp.astype(np.int16))
    write(second, (3 * ramp + 1000).astype(np.int16))
    case = dataclasses.replace(case, images=(case.images[0], second))
    prepare([case], tmp_path, with_percentiles(5, 95))
    images = np.load(tmp_path / "out/images/a.npy")
    np.testing.assert_allclose(images[0], images[1], atol=1e-6)
    assert (images == 1).mean() == pytest.approx(0.05, abs=0.005)


def test_a_scan_that_is_constant_between_its_percentiles_says_so(tmp_path: Path) -> None:
    nearly = np.zeros((6, 10, 14))
    nearly[3, 5, 5:8] = 100
    with pytest.raises(
        ArcoError, match=r"constant between the intensity percentiles \[0.0, 99.0\].*widen"
    ):
        prepared(tmp_path, nearly, with_percentiles(0.0, 99.0))


def test_other_percentiles_prepare_a_finished_case_again(tmp_path: Path) -> None:
    case = write_raw_case(tmp_path / "raw", "a")
    sums = {}
    for percentiles in (None, (0.0, 99.0), (0.0, 90.0), (0.0, 99.0)):
        settings = dataclasses.replace(SETTINGS, intensity_percentiles=percentiles)
        record = prepare([case], tmp_path, settings).record("a")
        sums.setdefault(percentiles, set()).add(record.files["images/a.npy"])
    assert [len(found) for found in sums.values()] == [1, 1, 1]
    assert len(set.union(*sums.values())) == 3


@pytest.fixture
def make_plan(repository: Path):  # type: ignore[no-untyped-def]
    def make(**dataset: object) -> Plan:
        return Plan(params.load(repository / "params.yaml", {"datasets": {"acdc": dataset}}))

    return make


def test_a_job_hands_the_percentiles_to_the_preparation(make_plan, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    plain = jobs.prepare(make_plan(intensity_percentiles=None), "acdc")
    assert "intensity_percentiles" not in plain["settings"]
    job = jobs.prepare(make_plan(intensity_percentiles=[0, 98.5]), "acdc")
    assert canonical(job) != canonical(plain)
    job["out"] = str(tmp_path / "out")
    registry.load("data/phantoms", "acdc").write_phantoms(tmp_path / "raw", 1, 0)
    stages.prepare(job, tmp_path / "raw", workers=1, report=ignore_progress)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.settings["intensity_percentiles"] == [0, 98.5]
    for case in manifest.cases:
        images = np.load(tmp_path / f"out/images/{case}.npy")
        assert np.count_nonzero(images == 1) > 0.002 * images.size  # resampling blurs some


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ([99, 0], "99 is not below 0; write the lower percentage first"),
        ([50, 50], "50 is not below 50"),
        ([-1, 99], r"intensity_percentiles\.0.*greater than or equal to 0"),
        ([0, 101], r"intensity_percentiles\.1.*less than or equal to 100"),
        ([0], "intensity_percentiles.*at least 2 items"),
        (99, "intensity_percentiles.*valid list"),
    ],
)
def test_impossible_percentiles_are_refused(make_plan, value: object, complaint: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ArcoError, match=complaint) as caught:
        make_plan(intensity_percentiles=value)
    assert str(caught.value).startswith("params.yaml: datasets.acdc")
