"""Results may change only together with the stage's number under `versions` in params.yaml.

Snakemake does not see a change inside the package: that number is what makes it run a stage again.
After raising it, `pytest tests/golden --renew-golden` writes down the new results.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from measure import STAGES

from arco import params, trees

FILE = Path(__file__).with_name("golden.json")
TOLERANCES = {"rel": 2e-3, "abs": 1e-4}
"""Wide enough for another processor, far below what a changed formula does."""

IN_FLOAT64 = {"rel": 1e-4, "abs": 1e-7}
"""Rounding moves the numbers of training steps by 1e-6 of their size at most."""


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_s_results_change_only_with_its_version(stage, tmp_path, repository, request):
    versions = params.load(repository / "params.yaml").sections.versions
    version = getattr(versions, stage)
    found = STAGES[stage](tmp_path)
    golden = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    if request.config.getoption("--renew-golden"):
        golden[stage] = {"version": version, "numbers": found}
        FILE.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return
    known = golden[stage]
    assert known["version"] == version, f"renew the golden numbers of {stage}: --renew-golden"
    tolerances = IN_FLOAT64 if stage in ("pretrain", "finetune", "variance") else TOLERANCES
    changed = {
        name: (number, found[name])
        for name, number in known["numbers"].items()
        if name in found and found[name] != pytest.approx(number, **tolerances)
    }
    assert not changed, f"{stage} makes other results: raise versions.{stage}"
    differing = sorted(set(found) ^ set(known["numbers"]))
    assert not differing, f"write down what is new or gone of {stage}: --renew-golden"


NOT_TRAINED = {
    "pretrain": {"teacher", "bank", "whole_bank", "window_bank"},
    "finetune": {"teacher", "adversary"},
}


@pytest.mark.parametrize("stage", NOT_TRAINED)
def test_no_teacher_no_bank_and_no_critic_has_a_gradient(stage):
    """They are in the file by how far they moved."""
    numbers = json.loads(FILE.read_text(encoding="utf-8"))[stage]["numbers"]
    learning, moving = (
        {name.split()[-1] for name in numbers if f" {how} of " in name}
        for how in ("gradient", "movement")
    )
    assert not learning & NOT_TRAINED[stage]
    assert NOT_TRAINED[stage] <= moving


def test_every_stage_with_a_version_has_golden_numbers(repository):
    assert set(STAGES) == set(trees.read_yaml(repository / "params.yaml")["versions"])
