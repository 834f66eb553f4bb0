from __future__ import annotations

import pytest

from arco import files
from arco.overview import describe
from arco.plan import Cell
from small_plan import small_plan

CELL = Cell("heart", "10pct", "plain", 0)


@pytest.mark.parametrize(("part", "other"), [("test", "val"), ("val", "test")])
def test_a_cell_exists_for_a_table_once_the_part_it_shows_is_scored(
    monkeypatch, tmp_path, part, other
):
    monkeypatch.chdir(tmp_path)
    plan = small_plan(monkeypatch, tmp_path, tables={"table1": {"part": part}})

    def exists() -> bool:
        return dict(describe(plan, "table1").cells)[CELL]

    files.write_text(plan.metrics(CELL, other), "")
    assert not exists()
    files.write_text(plan.metrics(CELL, part), "")
    assert exists()


def test_a_cell_exists_for_everything_once_both_parts_are_scored(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    plan = small_plan(monkeypatch, tmp_path)  # a table of test cases, a figure of validation cases
    files.write_text(plan.metrics(CELL, "test"), "")
    assert not dict(describe(plan, "all").cells)[CELL]
    files.write_text(plan.metrics(CELL, "val"), "")
    assert dict(describe(plan, "all").cells)[CELL]
