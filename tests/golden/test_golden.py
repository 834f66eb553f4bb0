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
TOLERANCE = 2e-3
"""Wide enough for another processor, far below what a changed formula does."""


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
    changed = {
        name: (known["numbers"].get(name), number)
        for name, number in found.items()
        if known["numbers"].get(name) != pytest.approx(number, rel=TOLERANCE, abs=1e-4)
    }
    new = set(found) - set(known["numbers"])
    assert not set(changed) - new, f"{stage} makes other results: raise versions.{stage}"
    assert not new, f"write down the results of {sorted(new)}: --renew-golden"


def test_every_stage_with_a_version_has_golden_numbers(repository):
    assert set(STAGES) == set(trees.read_yaml(repository / "params.yaml")["versions"])
