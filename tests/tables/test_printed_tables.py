"""The tables of params.yaml are those of the appendix: rows, columns and units, in print order."""

from __future__ import annotations

from pathlib import Path

import pytest

from arco import params
from arco.schema.reports import Table

BASELINES = (
    "EM", "CCT", "DAN", "URPC", "DTC", "DCT", "ICT", "MT", "UAMT", "SASSNet", "CPS", "GCL",
    "MC-Net", "SS-Net", "ACTION", "MONA", "ARCO-SAG", "ARCO-SG",
)  # fmt: skip
FRAMEWORKS = ("MoCov2", "kNN-MoCo", "SimCLR", "BYOL", "ISD", "VICReg", "ARCO")
BUDGETS = ["1%", "5%", "10%"]
CHAMBERS = ["average", "lv", "rv", "la", "ra", "myo", "aa", "pa"]


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return params.load(
        Path(__file__).parents[2] / "params.yaml", {"scale": "paper"}
    ).sections.tables


@pytest.mark.parametrize(
    ("name", "network", "classes"),
    [
        ("table5", "UNet", {"lits": ["average", "liver", "lesion"]}),
        ("table6", "UNet", {"mmwhs": CHAMBERS}),
        ("table9", "VNet", {"mpmri": ["liver"], "la": ["la"]}),
    ],
)
def test_the_tables_of_methods_are_the_appendix_s(
    tables: dict[str, Table], name: str, network: str, classes: dict[str, list[str]]
) -> None:
    table = tables[name]
    expected = [f"{network}-F", f"{network}-L", *BASELINES]
    assert [row.label for row in table.rows] == expected
    assert [row.label for row in table.rows if row.bound] == expected[:2]
    assert {dataset: table.classes_of(dataset) for dataset in table.datasets} == classes
    assert list(classes) == table.datasets
    assert table.labels == BUDGETS
    assert [(score.score, score.best) for score in table.scores] == [
        ("dice", "high"),
        ("assd_voxel", "low"),
    ]
    assert table.stacked == (name == "table6")


def test_table_8_has_three_samplers_of_seven_frameworks_in_mm(tables: dict[str, Table]) -> None:
    table = tables["table8"]
    found = [(row.category, row.label) for row in table.rows]
    assert [label.split()[-1] for _, label in found] == ["NS", "SAG", "SG"] * 7
    assert list(dict.fromkeys(category for category, _ in found)) == list(FRAMEWORKS)
    assert table.labels == BUDGETS
    assert [score.score for score in table.scores] == ["dice", "assd_mm"]


def test_table_4_switches_off_one_augmentation_after_another(tables: dict[str, Table]) -> None:
    table = tables["table4"]
    assert table.labels == ["1%"]
    assert [score.score for score in table.scores] == ["dice", "assd_voxel"]
    parts = ("", "_no_rotation", "_no_crop", "_no_flip", "_no_augmentation")
    assert [row.recipe for row in table.rows] == [
        f"arco_{sampler}{part}" for sampler in ("sag", "sg") for part in parts
    ]
