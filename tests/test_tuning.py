"""Files of workflow/tuning: candidates are judged on validation cases, over several seeds."""

from __future__ import annotations

import pytest

from arco import jobs, params, trees
from arco.errors import ArcoError
from arco.plan import Plan

NAMES = ("neighbor", "unsupervised", "views")

CHANGED = {
    "arco_sg_neighbor_0": {"lambda3": 0.0},
    "arco_sg_neighbor_1": {"lambda3": 1.0},
    "arco_sg_neighbor_plain": {"neighbor_predictor": False},
    "arco_sg_neighbor_plain_1": {"neighbor_predictor": False, "lambda3": 1.0},
    "arco_sg_unsupervised_0": {"lambda2": 0.0},
    "arco_sg_unsupervised_0.1": {"lambda2": 0.1},
    "arco_sg_unsupervised_no_ramp": {"lambda2_ramp": 0.0},
    "arco_sg_unsupervised_classes": {"pseudo_labels": "classes"},
    "arco_sg_views_turned": {"strong": None},
    "arco_sg_views_0.1": {"equivariance_weight": 0.1},
    "arco_sg_views_1": {"equivariance_weight": 1.0},
}
"""By candidate: what it changes of the method. One more has fewer steps besides."""


@pytest.fixture
def tuning_plan(repository):
    def plan(name: str, scale: str) -> tuple[Plan, dict]:
        overlay = trees.read_yaml(repository / f"workflow/tuning/{name}.yaml")
        return Plan(params.load(repository / "params.yaml", {"scale": scale, **overlay})), overlay

    return plan


def test_each_tuning_file_is_tested(repository):
    assert tuple(path.stem for path in sorted((repository / "workflow/tuning").iterdir())) == NAMES


@pytest.mark.parametrize("scale", ["demo", "smoke", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_candidates_are_scored_on_validation_cases_over_three_seeds(tuning_plan, name, scale):
    plan, overlay = tuning_plan(name, scale)
    assert len(plan.parameters.sections.seeds) >= 3
    for table in overlay["tables"]:
        assert table == f"tuning_{name}"
        files = jobs.report_inputs(jobs.table(plan, table))
        assert len(files) == len(plan.cells_of(table))
        assert {file.rsplit("/", 1)[-1] for file in files} == {"metrics_val.csv"}


def test_candidates_differ_from_the_present_setting_in_what_they_are_named_for(tuning_plan):
    plans = [tuning_plan(name, "demo") for name in NAMES]
    found = {
        recipe: plan.finetune_settings(plan.cell("acdc", "10%", recipe, 0))
        for plan, overlay in plans
        for recipe in overlay["recipes"]
    }
    half = found.pop("arco_sg_views_0.1_half")
    assert found.keys() == CHANGED.keys()
    plan, _ = plans[0]
    present = plan.finetune_settings(plan.cell("acdc", "10%", "arco_sg", 0))
    for recipe, changes in CHANGED.items():
        assert any(present["method"][key] != value for key, value in changes.items())
        assert found[recipe] == {**present, "method": {**present["method"], **changes}}
    assert half["training"]["iterations"] < 0.6 * present["training"]["iterations"]


def test_a_table_of_validation_cases_needs_some(repository):
    table = {
        "title": "", "caption": "", "datasets": ["la"], "labels": ["10%"], "part": "val",
        "classes": ["average"], "scores": [], "style": "columns", "rows": [],
    }  # fmt: skip
    with pytest.raises(ArcoError, match=r"tables\.new\.part is val, but datasets\.la\.split\.val"):
        params.load(
            repository / "params.yaml",
            {"datasets": {"la": {"split": {"val": 0}}}, "tables": {"new": table}},
        )
