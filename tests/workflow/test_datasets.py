"""The datasets of Tables 5, 6 and 9 through the whole workflow, at smoke scale."""

from __future__ import annotations

import csv

import nibabel as nib
import numpy as np
import pytest

pytestmark = pytest.mark.workflow

CLASSES = {
    "lits": ("liver", "lesion"),
    "mmwhs": ("lv", "rv", "la", "ra", "myo", "aa", "pa"),
    "mpmri": ("liver",),
    "la": ("la",),
}
TABLE = """
  {dataset}_small:
    title: Small
    caption: One cell.
    datasets: [{dataset}]
    labels: [10%]
    classes: [average, {classes}]
    scores: [{{score: dice, label: "DSC[%]", best: high}}]
    style: pairs
    rows: [{{recipe: unet_l, label: limited}}]
"""


def test_every_dataset_goes_from_raw_files_to_a_table_and_masks_on_the_scans_own_grid(workspace):
    tables = [TABLE.format(dataset=d, classes=", ".join(names)) for d, names in CLASSES.items()]
    (workspace.root / "small.yaml").write_text("tables:" + "".join(tables))
    targets = [f"results/tables/{dataset}_small.csv" for dataset in CLASSES]
    workspace.snakemake(*targets, "--configfile", "small.yaml")
    for dataset, names in CLASSES.items():
        run = workspace.root / f"results/runs/smoke/{dataset}/10pct/unet_l/seed0"
        with (run / "metrics.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert {row["class"] for row in rows} == set(names)
        masks = sorted((run / "predictions").glob("*.nii.gz"))
        assert [mask.name[:-7] for mask in masks] == sorted({row["case"] for row in rows})
        for mask in masks:
            truth = nib.load(workspace.root / f"data/prepared/smoke/{dataset}/truth/{mask.name}")
            predicted = nib.load(mask)
            assert predicted.shape == truth.shape
            assert np.array_equal(predicted.affine, truth.affine)
        text = (workspace.root / f"results/tables/{dataset}_small.md").read_text()
        assert "limited" in text
