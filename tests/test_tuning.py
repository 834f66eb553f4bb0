"""Files of workflow/tuning: candidates are judged on validation cases, over several seeds."""

from __future__ import annotations

import pytest

from arco import jobs, params, trees
from arco.errors import ArcoError
from arco.plan import Plan

NAMES = ("unsupervised",)


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


def test_candidates_differ_from_the_present_setting_in_the_weight_alone(tuning_plan):
    plan, _ = tuning_plan("unsupervised", "demo")

    def settings(recipe: str) -> dict:
        return plan.finetune_settings(plan.cell("acdc", "10%", recipe, 0))

    present = settings("arco_sg")
    for text in ("0", "0.1", "0.3"):
        candidate = settings(f"arco_sg_unsupervised_{text}")
        assert candidate["method"].pop("lambda2") == float(text)
        assert candidate == {
            **present,
            "method": {k: v for k, v in present["method"].items() if k != "lambda2"},
        }


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
