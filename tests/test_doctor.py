from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from arco import doctor
from arco.doctor import Level, examine
from small_plan import small_plan


@pytest.fixture
def make_plan(monkeypatch, tmp_path):
    return lambda **overlay: small_plan(monkeypatch, tmp_path, **overlay)


def write_patients(root, numbers):
    """Empty files in the layout of ACDC: two scans per patient."""
    for number in numbers:
        folder = root / "training" / f"patient{number:03d}"
        folder.mkdir(parents=True)
        (folder / "Info.cfg").write_text("ED: 1\nES: 12\n")
        for frame in ("01", "12"):
            (folder / f"{folder.name}_frame{frame}.nii.gz").touch()
            (folder / f"{folder.name}_frame{frame}_gt.nii.gz").touch()


def the_dataset(plan):
    (found,) = examine(plan).datasets
    return found


def test_a_missing_download_is_a_warning_that_says_where_to_get_it(make_plan):
    report = examine(make_plan())
    (dataset,) = report.datasets
    assert dataset.finding.level is Level.WARNING
    assert "creatis" in dataset.finding.fix
    assert "datasets.heart.root" in dataset.finding.fix
    assert dataset.cases == 0
    assert report.healthy


def test_a_complete_dataset_is_counted_in_cases_and_patients(make_plan, tmp_path):
    write_patients(tmp_path / "data/raw/heart", range(1, 101))
    dataset = the_dataset(make_plan())
    assert (dataset.cases, dataset.patients, dataset.expected_patients) == (200, 100, 4)
    assert (dataset.expected_cases, dataset.missing) == (200, ())
    assert dataset.finding.level is Level.OK
    assert dataset.finding.detail == "200 cases of 100 patients; the split needs 4 patients"


def test_a_partial_download_is_a_warning_that_names_who_is_missing(make_plan, tmp_path):
    write_patients(tmp_path / "data/raw/heart", [*range(1, 50), *range(52, 101)])
    report = examine(make_plan())
    (dataset,) = report.datasets
    assert dataset.finding.level is Level.WARNING
    assert dataset.finding.detail.startswith("196 of 200 cases of 98 patients")
    assert "missing: 2 patients (patient050, patient051)" in dataset.finding.fix
    assert dataset.missing == ("patient050", "patient051")
    assert report.healthy


def test_cases_that_lack_a_file_are_counted_and_the_files_named(make_plan, tmp_path, caplog):
    root = tmp_path / "data/raw/heart"
    for number in range(87):
        folder = root / "Training Set" / f"CASE{number:03d}"
        folder.mkdir(parents=True)
        (folder / "lgemri.nrrd").touch()
        if number not in (5, 8):
            (folder / "laendo.nrrd").touch()
    dataset = the_dataset(make_plan(datasets={"heart": {"layout": "la"}}))
    assert dataset.finding.level is Level.WARNING
    assert dataset.finding.detail.startswith("85 of 100 cases of 85 patients")
    files = [f"Training Set/CASE{number:03d}/laendo.nrrd" for number in (5, 8)]
    assert f"missing: 2 files ({', '.join(files)})" in dataset.finding.fix
    assert list(dataset.missing) == files
    assert not caplog.records  # said once, in the report
    text = examine(make_plan(datasets={"heart": {"layout": "la"}})).text()
    assert "warning: heart: 85 of 100 cases" in text


@pytest.mark.parametrize(
    ("layout", "subset", "name", "absent", "incomplete"),
    [
        ("lits", "training", "{part}-{number}.nii", "lits_004", "segmentation-2.nii"),
        (
            "mmwhs",
            "mr",
            "mr_train_{number}_{part}.nii.gz",
            "mr_train_1004",
            "mr_train_1002_label.nii.gz",
        ),
    ],
)
def test_scans_that_are_absent_and_scans_that_lack_a_file_are_told_apart(
    make_plan, tmp_path, layout, subset, name, absent, incomplete
):
    root = tmp_path / "data/raw/heart"
    root.mkdir(parents=True)
    numbers, parts = {
        "lits": (range(131), ("volume", "segmentation")),
        "mmwhs": (range(1001, 1021), ("image", "label")),
    }[layout]
    for number in numbers:
        for part in parts:
            (root / name.format(number=number, part=part)).touch()
    for path in [*root.glob("*-4.nii"), *root.glob("*_1004_*"), root / incomplete]:
        path.unlink()
    plan = make_plan(datasets={"heart": {"layout": layout, "subsets": [subset]}})
    dataset = the_dataset(plan)
    assert dataset.finding.level is Level.WARNING
    assert dataset.cases == dataset.expected_cases - 2
    assert dataset.missing == (incomplete, absent)


def test_fewer_patients_than_the_split_needs_is_an_error(make_plan, tmp_path):
    write_patients(tmp_path / "data/raw/heart", [1, 2, 3])
    report = examine(make_plan())
    (dataset,) = report.datasets
    assert dataset.finding.level is Level.ERROR
    assert "6 of 200 cases of 3 patients; the split needs 4" in dataset.finding.detail
    assert "datasets.heart.split" in dataset.finding.fix
    assert not report.healthy


def test_a_broken_download_is_an_error_that_names_the_file(make_plan, tmp_path):
    write_patients(tmp_path / "data/raw/heart", [1, 2, 3, 4])
    (tmp_path / "data/raw/heart/training/patient003/Info.cfg").unlink()
    dataset = the_dataset(make_plan())
    assert dataset.finding.level is Level.ERROR
    assert "patient003/Info.cfg" in dataset.finding.detail


def test_phantoms_that_are_not_written_yet_are_no_problem(make_plan):
    dataset = the_dataset(make_plan(datasets={"heart": {"source": "phantom"}}))
    assert dataset.finding.level is Level.OK
    assert dataset.root.parts[-2:] == ("phantom", "heart")


def test_broken_phantoms_are_mended_by_deleting_them(make_plan, tmp_path):
    write_patients(tmp_path / "data/phantom/heart", [1, 2])
    dataset = the_dataset(make_plan(datasets={"heart": {"source": "phantom"}}))
    assert dataset.finding.level is Level.ERROR
    assert dataset.finding.fix.startswith(f"delete {tmp_path / 'data/phantom/heart'}")


def test_every_requirement_is_listed_with_its_installed_version(make_plan):
    software = {item.subject: item for item in examine(make_plan()).software}
    assert software["numpy"].detail == metadata.version("numpy")
    assert {"torch", "snakemake", "dvc", "safetensors", "pyyaml"} <= set(software)
    assert "pytest" not in software  # only needed by developers


def test_a_missing_package_is_an_error(make_plan, monkeypatch):
    installed = metadata.version

    def version(name):
        if name == "nibabel":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    report = examine(make_plan())
    wrong = [item for item in report.findings if item.level is Level.ERROR]
    assert [(item.subject, item.detail) for item in wrong] == [("nibabel", "not installed")]
    assert not report.healthy


@pytest.mark.parametrize(("device", "healthy"), [("cuda", False), ("auto", True), ("cpu", True)])
def test_only_an_explicit_wish_for_a_gpu_needs_one(make_plan, monkeypatch, device, healthy):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    report = examine(make_plan(runtime={"device": device}))
    assert report.healthy is healthy


def test_more_threads_than_cores_is_a_warning(make_plan):
    report = examine(make_plan(runtime={"threads": 10_000}))
    (finding,) = [item for item in report.machine if item.subject == "threads"]
    assert finding.level is Level.WARNING
    assert report.healthy


def test_a_nearly_full_disk_is_a_warning(make_plan, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1024**3))
    spaces = [item for item in examine(make_plan()).machine if item.subject == "paths.data"]
    assert [item.level for item in spaces] == [Level.WARNING]
    assert spaces[0].detail.startswith("1.0 GB free")


def test_a_folder_that_cannot_be_written_is_an_error(make_plan, monkeypatch, tmp_path):
    (tmp_path / "results").mkdir()
    real = os.access
    monkeypatch.setattr(
        doctor.os, "access", lambda path, mode: path != tmp_path / "results" and real(path, mode)
    )
    report = examine(make_plan())
    assert [item.subject for item in report.findings if item.level is Level.ERROR] == [
        "paths.results"
    ]


def test_the_text_tells_errors_before_warnings_each_with_its_fix(make_plan, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    text = examine(make_plan(runtime={"device": "cuda"})).text()
    assert text.index("error: device") < text.index("warning: heart")
    assert "set runtime.device to auto" in text


def test_a_healthy_machine_is_told_so(make_plan):
    plan = make_plan(datasets={"heart": {"source": "phantom"}})
    assert examine(plan).text().endswith("everything needed is in place")


def test_the_dictionary_is_plain_json(make_plan):
    report = json.loads(json.dumps(examine(make_plan()).as_dict()))
    assert report["scale"] == "smoke"
    assert report["datasets"][0]["finding"]["level"] == "warning"


def test_torch_is_loaded_only_to_examine_the_device():
    code = "import arco.doctor, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
