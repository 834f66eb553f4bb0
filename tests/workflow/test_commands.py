"""The `arco` command as a person types it: what it makes, and what it says of mistakes."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from arco import files

pytestmark = pytest.mark.workflow

CELL = ("acdc", "10%", "unet_l")
RUN = "results/runs/smoke/acdc/10pct/unet_l/seed0"


def complaint(done: subprocess.CompletedProcess) -> str:
    """The one sentence of a failed command."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_cell_is_trained_evaluated_and_kept_with_its_provenance(ready):
    ready.arco("finetune", *CELL)
    ready.arco("evaluate", *CELL)
    run = ready.root / RUN
    with (run / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    tested = files.read_text(ready.root / "data/prepared/smoke/acdc/splits/test.txt")
    cases = [line for line in tested.splitlines() if not line.startswith("#")]
    assert {(row["case"], row["class"]) for row in rows} == {
        (case, name) for case in cases for name in ("rv", "myo", "lv")
    }
    for case in cases:
        predicted = nibabel.load(run / "predictions" / f"{case}.nii.gz")
        patient = case.split("_")[0]
        original = nibabel.load(
            ready.root / f"data/phantom/acdc/training/{patient}/{case}_gt.nii.gz"
        )
        assert predicted.shape == original.shape
        np.testing.assert_allclose(predicted.affine, original.affine, atol=1e-5)
    provenance = files.read_json(run / "provenance.json")
    assert provenance["steps"] == 4
    again = ready.arco("finetune", *CELL)
    assert "already finished" in again.stderr


def test_kill_minus_nine_and_start_again_gives_the_same_bits(ready):
    ready.edit("checkpoint_seconds: 60", "checkpoint_seconds: 0")
    ready.edit(
        "training: {iterations: 4, log_every: 2}", "training: {iterations: 60, log_every: 7}"
    )
    command = ("finetune", "acdc", "10%", "arco_sag")
    ready.edit("pretraining: relational, sampler: sag}", "pretraining: none, sampler: sag}")
    run = ready.root / "results/runs/smoke/acdc/10pct/arco_sag/seed0"
    state = ready.root / "work/resume/runs/smoke/acdc/10pct/arco_sag/seed0/state.pt"

    ready.arco(*command)
    undisturbed = {
        name: (run / name).read_bytes() for name in ("weights.safetensors", "history.csv")
    }
    for path in (*run.iterdir(), state.parent / "done.json"):
        path.unlink()

    for _ in range(2):
        process = subprocess.Popen(
            ["arco", *command], cwd=ready.root, env=ready.environment(), stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert state.exists()
        assert not (run / "weights.safetensors").exists()
    done = ready.arco(*command)
    assert "continuing from step" in done.stderr
    for name, content in undisturbed.items():
        assert (run / name).read_bytes() == content, name
    assert not state.exists()


def test_a_checkpoint_of_other_settings_is_not_continued(ready):
    ready.edit("checkpoint_seconds: 60", "checkpoint_seconds: 0")
    ready.edit(
        "training: {iterations: 4, log_every: 2}", "training: {iterations: 4000, log_every: 2}"
    )
    state = ready.root / "work/resume/runs/smoke/acdc/10pct/unet_l/seed0/state.pt"
    process = subprocess.Popen(
        ["arco", "finetune", *CELL], cwd=ready.root, env=ready.environment(),
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    ready.edit(
        "training: {iterations: 4000, log_every: 2}", "training: {iterations: 4, log_every: 2}"
    )
    done = ready.arco("finetune", *CELL)
    assert "from another configuration; starting anew" in done.stderr
    assert (ready.root / RUN / "weights.safetensors").exists()


def test_weights_pretrained_with_another_network_are_refused(ready):
    ready.arco("pretrain", "acdc", "10%", "relational")
    ready.edit("unet: {channels: [4, 4, 8, 8, 8]}", "unet: {channels: [4, 4, 8, 8, 4]}")
    said = complaint(ready.arco("finetune", "acdc", "10%", "arco_sg", check=False))
    assert "weights.safetensors is from another configuration (network differs)" in said


def test_a_cell_before_its_pretraining_says_which_file_it_lacks(ready):
    told = complaint(ready.arco("finetune", "acdc", "10%", "arco_sg", check=False))
    assert "relational/seed0/weights.safetensors is missing" in told


def test_damaged_weights_are_refused_by_evaluation(ready):
    ready.arco("finetune", *CELL)
    weights = ready.root / RUN / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    said = complaint(ready.arco("evaluate", *CELL, check=False))
    assert "weights.safetensors is damaged" in said
    assert not (ready.root / RUN / "metrics.csv").exists()


def corrupt(path: Path, change) -> None:
    """Rewrite a NIfTI with its array changed."""
    image = nibabel.load(path)
    array = np.asarray(image.dataobj).copy()
    changed = change(array)
    nibabel.save(nibabel.Nifti1Image(changed, image.affine), path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without(lines: str):
    def change(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        path.write_text(
            "".join(x for x in text.splitlines(True) if not x.startswith(lines)), encoding="utf-8"
        )

    return change


def float_nan(array):
    array = array.astype(np.float32)
    array[0, 0, 0] = np.nan
    return array


def strange(array):
    array[0, 0, 0] = 9
    return array


@pytest.mark.parametrize(
    ("kind", "damage", "sentence"),
    [
        ("image", truncate, "truncated|cut short|incomplete|damaged"),
        ("image", lambda p: corrupt(p, float_nan), "NaN|not a number|not finite|finite"),
        ("image", lambda p: corrupt(p, lambda a: np.full_like(a, 5)), "constant|same value"),
        ("label", lambda p: corrupt(p, strange), "9"),
        ("label", lambda p: corrupt(p, np.zeros_like), "empty|no foreground|background"),
        ("label", lambda p: corrupt(p, lambda a: a[:-1]), "82 x .* but .* has 83 x|voxels but"),
        ("label", lambda p: p.unlink(), "missing"),
        ("info", lambda p: p.unlink(), "Info.cfg"),
        ("info", without("ES"), "Info.cfg.*ES|ES.*Info.cfg"),
    ],
    ids=["truncated", "nan", "constant", "unknown label", "empty label", "other size",
         "no label file", "no Info.cfg", "Info.cfg without ES"],
)  # fmt: skip
def test_a_damaged_file_ends_preparation_with_its_name_and_nothing_half_written(
    workspace, prepared, kind, damage, sentence
):
    import re
    import shutil

    shutil.copytree(prepared.root / "data/phantom", workspace.root / "data/phantom")
    folder = sorted((workspace.root / "data/phantom/acdc/training").glob("patient*"))[3]
    path = {
        "image": next(p for p in sorted(folder.glob("*_frame??.nii.gz"))),
        "label": next(p for p in sorted(folder.glob("*_gt.nii.gz"))),
        "info": folder / "Info.cfg",
    }[kind]
    damage(path)
    said = complaint(workspace.arco("prepare", "acdc", check=False))
    assert folder.name in said
    assert re.search(sentence, said), said
    made = workspace.root / "data/prepared/smoke/acdc"
    assert not (made / "manifest.json").exists()
    assert not list(made.rglob(".*")) if made.exists() else True


def test_a_partial_download_says_how_partial_it_is(workspace, prepared):
    import shutil

    shutil.copytree(prepared.root / "data/phantom", workspace.root / "data/phantom")
    for folder in sorted((workspace.root / "data/phantom/acdc/training").glob("patient*"))[:9]:
        shutil.rmtree(folder)
    said = complaint(workspace.arco("prepare", "acdc", check=False))
    assert "12 train + 2 val + 2 test patients but only 7" in said


@pytest.mark.parametrize(
    ("name", "lines", "sentence"),
    [
        ("test", ["patient001_frame99"], "test.txt.*patient001_frame99"),
        ("labeled_10pct", ["nobody"], "labeled_10pct.txt.*nobody"),
    ],
)
def test_a_list_naming_an_absent_case_is_told(ready, name, lines, sentence):
    import re

    files.write_text(ready.root / f"splits/acdc/{name}.txt", "\n".join(lines) + "\n")
    said = complaint(ready.arco("prepare", "acdc", check=False))
    assert re.search(sentence, said), said


def test_a_patient_in_two_parts_is_told(ready):
    train = files.read_text(ready.root / "data/prepared/smoke/acdc/splits/train.txt")
    first = next(line for line in train.splitlines() if line.startswith("patient"))
    for part in ("train", "test"):
        files.write_text(ready.root / f"splits/acdc/{part}.txt", first + "\n")
    said = complaint(ready.arco("prepare", "acdc", check=False))
    assert first.split("_")[0] in said
    assert "train.txt" in said
    assert "test.txt" in said


def test_a_users_list_replaces_the_drawn_one(ready):
    drawn = files.read_text(ready.root / "data/prepared/smoke/acdc/splits/test.txt")
    cases = [line for line in drawn.splitlines() if not line.startswith("#")]
    files.write_text(ready.root / "splits/acdc/test.txt", "\n".join(cases[:1]) + "\n")
    ready.arco("prepare", "acdc")
    now = files.read_text(ready.root / "data/prepared/smoke/acdc/splits/test.txt")
    assert now.strip().splitlines() == cases[:1]


def test_a_missing_download_is_told_with_where_it_should_be(workspace):
    workspace.edit("scale: smoke ", "scale: paper ")
    said = complaint(workspace.arco("prepare", "acdc", check=False))
    assert "data/raw/acdc is missing" in said
    assert "arco doctor" in said


def test_a_truncated_prepared_array_is_told_by_training(ready):
    array = next(iter(sorted((ready.root / "data/prepared/smoke/acdc/images").glob("*.npy"))))
    for path in array.parent.glob("*.npy"):
        truncate(path)
    said = complaint(ready.arco("finetune", *CELL, check=False))
    assert ".npy is damaged" in said
    assert not (ready.root / RUN / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("finetune", "acdc", "10%", "nonsense"), "no recipe 'nonsense'"),
        (("finetune", "acdc", "11%", "unet_l"), "has no '11%'"),
        (("finetune", "heart", "10%", "unet_l"), "no dataset 'heart'"),
        (("finetune",), "which dataset"),
        (("table", "99"), "no table '99'"),
        (("variance", "acdc", "10%", "unet_l"), "trains by supervised, not by ARCO"),
        (("variance", "acdc", "10%", "arco_sg"), "keeps no snapshots; set training.snapshots"),
        (("variance", "acdc", "10%", "arco_sg_snapshots"), "settings.json is missing"),
        (("plan", "nonsense"), "nonsense"),
        (("prepare", "acdc", "--params", "nowhere.yaml"), "nowhere.yaml is missing"),
    ],
)
def test_a_name_that_does_not_exist_is_told(workspace, arguments, sentence):
    assert sentence in complaint(workspace.arco(*arguments, check=False))


def test_plan_status_and_doctor_speak_json(ready):
    assert len(json.loads(ready.arco("plan", "table8", "--json").stdout)["cells"]) == 63
    json.loads(ready.arco("status", "table8", "--json").stdout)
    json.loads(ready.arco("doctor", "--json").stdout)


def test_every_command_has_help(workspace):
    listed = workspace.arco("--help").stdout
    for name in ("doctor", "phantom", "prepare", "split", "plan", "pretrain", "finetune",
                 "evaluate", "variance", "table", "figure", "publish", "status"):  # fmt: skip
        assert name in listed
        assert "usage: arco" in workspace.arco(name, "--help").stdout


def test_phantoms_are_written_where_they_are_asked_for(workspace):
    workspace.arco("phantom", "acdc", "--out", "there", "--cases", "2", "--seed", "5")
    scans = sorted((workspace.root / "there/training").glob("patient*/*_gt.nii.gz"))
    assert len(scans) == 4
    with gzip.open(scans[0]) as stream:
        assert len(stream.read()) > 352
