from __future__ import annotations

import csv
import logging
import math

import medpy.metric.binary as medpy
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import load_file, save_file
from small_prepared import (
    CLASSES,
    IMAGE_SIZE,
    SPACING_MM,
    Oracle,
    heart,
    scan,
    settings,
    simple_record,
    write_prepared,
)

from arco import files
from arco.data.geometry import geometry_of
from arco.errors import ArcoError
from arco.evaluation import evaluate
from arco.evaluation.evaluate import COLUMNS, evaluate_run, score
from arco.models.build import build_network

SIZES = {"p1_a": (52, 40, 4), "p1_b": (52, 40, 4), "p2_a": (45, 61, 5)}


@pytest.fixture
def prepared(tmp_path):
    generator = np.random.default_rng(0)
    scans = {
        case: scan(heart(size, generator), orientation)
        for (case, size), orientation in zip(SIZES.items(), ("LPS", "RAS", "PIR"), strict=True)
    }
    write_prepared(tmp_path / "prepared", scans)
    return tmp_path / "prepared"


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


@pytest.fixture
def oracle(monkeypatch):
    monkeypatch.setattr(evaluate, "load_network", lambda *_: Oracle())


def write_run(folder, **changes):
    """A run folder with an untrained network that knows more than one class."""
    files.write_json(folder / "settings.json", settings(**changes))
    torch.manual_seed(0)
    network = build_network(settings(), 1)
    with torch.no_grad():
        network.classifier.bias.zero_()
    save_file(network.state_dict(), folder / "weights.safetensors")
    return folder


def evaluated(run, prepared, part="test", progress=lambda done, total: None):
    """The rows of metrics.csv."""
    out = run / "metrics.csv"
    evaluate_run(
        run,
        prepared,
        part,
        out=out,
        predictions=run / "predictions",
        device="cpu",
        threads=1,
        progress=progress,
    )
    with out.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_an_oracle_scores_nearly_one_on_the_native_grid(run, prepared, oracle):
    rows = evaluated(run, prepared)
    assert all(float(row["dice"]) > 0.93 for row in rows)
    assert all(float(row["assd_voxel"]) < 0.2 for row in rows)


def test_there_is_a_row_per_case_and_foreground_class(run, prepared):
    rows = evaluated(run, prepared)
    assert tuple(rows[0]) == COLUMNS
    assert [(row["case"], row["patient"], row["class"]) for row in rows] == [
        (case, case[:2], name) for case in SIZES for name in ("rv", "myo", "lv")
    ]
    assert {row["part"] for row in rows} == {"test"}


def test_predictions_have_the_geometry_of_the_scans(run, prepared):
    evaluated(run, prepared)
    for case in SIZES:
        name = f"{case}.nii.gz"
        truth = nibabel.load(prepared / "truth" / name)
        prediction = nibabel.load(run / "predictions" / name)
        assert prediction.get_data_dtype() == np.uint8
        assert prediction.shape == truth.shape == SIZES[case]
        np.testing.assert_array_equal(prediction.affine, truth.affine)
        assert prediction.header.get_zooms() == SPACING_MM


def test_scores_are_those_of_medpy_on_the_written_files(run, prepared):
    """An untrained network scatters its classes, so nothing is trivially right."""
    rows = evaluated(run, prepared)
    compared = 0
    for row in rows:
        name = f"{row['case']}.nii.gz"
        found, wanted = (
            np.asarray(nibabel.load(folder / name).dataobj) == CLASSES.index(row["class"])
            for folder in (run / "predictions", prepared / "truth")
        )
        if not found.any():
            assert math.isnan(float(row["assd_mm"]))
            continue
        compared += 1
        expected = {
            "dice": medpy.dc(found, wanted),
            "jaccard": medpy.jc(found, wanted),
            "asd_voxel": medpy.asd(found, wanted),
            "assd_voxel": medpy.assd(found, wanted),
            "hd95_voxel": medpy.hd95(found, wanted),
            "asd_mm": medpy.asd(found, wanted, SPACING_MM),
            "assd_mm": medpy.assd(found, wanted, SPACING_MM),
            "hd95_mm": medpy.hd95(found, wanted, SPACING_MM),
        }
        for key, value in expected.items():
            assert float(row[key]) == pytest.approx(value, abs=1e-6), (row["case"], key)
    assert compared >= 3


def test_spacing_goes_to_the_axis_it_belongs_to():
    prediction, truth = np.zeros((2, 4, 5, 6), dtype=np.uint8)
    prediction[0, 1, 1] = truth[2, 1, 1] = 1  # two slices apart, 8 mm each
    prediction[3, 0, 0] = truth[3, 0, 3] = 2  # three columns apart, 1.25 mm each
    prediction[3, 0, 5] = truth[3, 4, 5] = 3  # four rows apart, 1.5 mm each
    record = simple_record(geometry_of(scan(truth)), (1, 4, 5, 6))
    rows = score(prediction, truth, record, CLASSES)
    assert [(row["assd_voxel"], row["assd_mm"]) for row in rows] == [
        (2.0, 16.0),
        (3.0, 3.75),
        (4.0, 6.0),
    ]


def test_undefined_scores_are_nan_and_counted(run, prepared, oracle, caplog):
    # myo is in no scan; lv is in the truth of one case only and not predicted there.
    truth = np.zeros((3, 40, 30), dtype=np.uint8)
    truth[1, 5:30, 5:25] = 1
    write_prepared(prepared, {"p3_a": scan(truth)})
    truth[2, 0, 0] = 3
    sitk.WriteImage(scan(truth), str(prepared / "truth" / "p3_a.nii.gz"))
    with caplog.at_level(logging.INFO, logger="arco"):
        rv, myo, lv = evaluated(run, prepared)
    assert float(rv["dice"]) > 0.9
    assert (myo["dice"], myo["jaccard"], myo["assd_mm"]) == ("nan", "nan", "nan")
    assert (lv["dice"], lv["assd_voxel"], lv["hd95_mm"]) == ("0.0", "nan", "nan")
    assert "2 of 3 distances and 1 of 3 Dice are undefined" in caplog.text
    assert "over 2 scores" in caplog.text


def test_the_part_chooses_the_list(run, prepared):
    files.write_text(prepared / "splits" / "val.txt", "p2_a\n")
    rows = evaluated(run, prepared, part="val")
    assert {(row["case"], row["part"]) for row in rows} == {("p2_a", "val")}


def test_evaluating_again_replaces_everything_with_the_same_bytes(run, prepared):
    evaluated(run, prepared)
    first = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (run / "predictions" / "old.nii.gz").touch()
    evaluated(run, prepared)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == first


def test_progress_counts_cases(run, prepared):
    seen = []
    evaluated(run, prepared, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def damage_weights(run, prepared):
    path = run / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def empty_weights(run, prepared):
    (run / "weights.safetensors").write_bytes(b"")


def remove_weights(run, prepared):
    (run / "weights.safetensors").unlink()


def other_width(run, prepared):
    network = {"name": "unet", "channels": [4, 4, 4, 4, 4], "dropout": [0.0] * 5}
    files.write_json(run / "settings.json", settings(network=network))


def encoder_only(run, prepared):
    state = load_file(run / "weights.safetensors")
    encoder = {name: value for name, value in state.items() if name.startswith("encoder.")}
    save_file(encoder, run / "weights.safetensors")


def other_classes(run, prepared):
    dataset = settings()["dataset"] | {"classes": ["background", "tumor"]}
    files.write_json(run / "settings.json", settings(dataset=dataset))


def other_image_size(run, prepared):
    dataset = settings()["dataset"] | {"image_size": [IMAGE_SIZE[1], IMAGE_SIZE[0]]}
    files.write_json(run / "settings.json", settings(dataset=dataset))


def other_channels(run, prepared):
    files.write_json(run / "settings.json", settings(channels=2))


def remove_settings(run, prepared):
    (run / "settings.json").unlink()


def foreign_settings(run, prepared):
    files.write_json(run / "settings.json", ["lr", 0.1])


def unknown_case(run, prepared):
    files.write_text(prepared / "splits" / "test.txt", "p1_a\np9_a\n")


def single_slice(run, prepared):
    files.write_text(prepared / "splits" / "test.txt", "p1_a@2\n")


def remove_list(run, prepared):
    (prepared / "splits" / "test.txt").unlink()


def cut_image(run, prepared):
    path = prepared / "images" / "p2_a.npy"
    path.write_bytes(path.read_bytes()[:100])


def cut_truth(run, prepared):
    path = prepared / "truth" / "p2_a.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])


def swap_truth(run, prepared):
    (prepared / "truth" / "p1_a.nii.gz").replace(prepared / "truth" / "p2_a.nii.gz")


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (damage_weights, r"weights\.safetensors is damaged .*train again"),
        (empty_weights, r"weights\.safetensors is damaged"),
        (remove_weights, r"weights\.safetensors is missing; train"),
        (other_width, r"weights\.safetensors does not fit .*train the cell again"),
        (encoder_only, r"weights\.safetensors does not fit .*classifier\.bias"),
        (other_classes, r"settings\.json is from another configuration"),
        (other_image_size, r"settings\.json is from another configuration"),
        (other_channels, r"settings\.json is from another configuration"),
        (remove_settings, r"settings\.json is missing"),
        (foreign_settings, r"settings\.json is not the settings of a run"),
        (unknown_case, r"test\.txt line 2: .*p9_a"),
        (single_slice, r"test\.txt line 1: p1_a@2"),
        (remove_list, r"test\.txt is missing"),
        (cut_image, r"p2_a\.npy is damaged"),
        (cut_truth, r"p2_a\.nii\.gz is cut short"),
        (swap_truth, r"truth/p1_a\.nii\.gz is missing"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(run, prepared, break_it, expected):
    break_it(run, prepared)
    with pytest.raises(ArcoError, match=expected) as caught:
        evaluated(run, prepared)
    assert "\n" not in str(caught.value)
    assert {path.name for path in run.iterdir()} <= {"settings.json", "weights.safetensors"}


def test_a_truth_file_of_another_size_is_refused(run, prepared):
    truth = prepared / "truth"
    (truth / "p2_a.nii.gz").write_bytes((truth / "p1_a.nii.gz").read_bytes())
    with pytest.raises(ArcoError, match=r"p2_a\.nii\.gz is not the file in the manifest"):
        evaluated(run, prepared)


def test_a_failure_keeps_the_former_predictions(run, prepared):
    evaluated(run, prepared)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    cut_truth(run, prepared)
    with pytest.raises(ArcoError):
        evaluated(run, prepared)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_place_that_cannot_be_written_is_told(run, prepared):
    (run / "predictions").touch()  # a file where the folder should be
    with pytest.raises(ArcoError, match=r"cannot write .*run/predictions"):
        evaluated(run, prepared)
    assert not (run / "metrics.csv").exists()
