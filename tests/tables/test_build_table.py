from __future__ import annotations

import csv
import json

import pytest
from small_page import small_table

from arco import files
from arco.errors import ArcoError
from arco.tables import formats
from arco.tables.build import build_table

LEVELS = {0: 0.9, 1: 0.8, 2: 0.7, 3: 0.6}


@pytest.fixture
def report(write_metrics):
    """Settings of a table of four rows at two labels entries and two seeds."""
    cells = [
        {"row": row, "dataset": "heart", "labels": labels, "seed": seed, "metrics": str(path)}
        for row, level in LEVELS.items()
        for labels, loss in (("1%", 0.1), ("5%", 0.0))
        for seed in (3, 5)
        for path in [
            write_metrics(
                f"{row}-{labels}-{seed}",
                {("a", "rv"): (level - loss, 2.0), ("a", "lv"): (level - loss + 0.02 * seed, 4.0)},
            )
        ]
    ]
    return {
        "scale": "demo",
        "protocol": "default",
        "datasets": {"heart": {"title": "Heart", "source": "phantom", "classes": ["rv", "lv"]}},
        "seeds": [3, 5],
        "table": small_table(labels=["1%", "5%"]).model_dump(),
        "cells": cells,
    }


def test_a_table_is_written_in_four_formats(report, tmp_path):
    written = build_table(report, tmp_path / "tables" / "small.csv", {"commit": None})
    assert [path.name for path in written] == ["small.csv", "small.md", "small.tex", "small.json"]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == sorted(
        path.name for path in written
    )


def test_numbers_reach_their_row_and_column(report, tmp_path):
    path = build_table(report, tmp_path / "small.csv", {})[0]
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    # seeds 3 and 5 add 0.06 and 0.10 to one of two classes: 0.04 on average, 0.03 and 0.05 apiece
    assert [row["1pct_dsc_percent"] for row in rows] == ["84.00", "74.00", "64.00", "54.00"]
    assert [row["5pct_dsc_percent"] for row in rows] == ["94.00", "84.00", "74.00", "64.00"]
    assert rows[0]["1pct_dsc_percent_std"] == "1.41"
    assert rows[0]["1pct_asd_mm"] == "6.000"


def test_every_format_but_the_csv_says_that_these_are_phantoms(report, tmp_path):
    for path in build_table(report, tmp_path / "small.csv", {})[1:]:
        assert "synthetic phantoms in the layout of Heart, not Heart itself" in path.read_text()


def test_a_table_of_validation_cases_reads_and_names_them(report, write_metrics, tmp_path):
    path = write_metrics("val", {("a", "rv"): (0.5, 2.0), ("a", "lv"): (0.7, 4.0)}, part="val")
    for cell in report["cells"]:
        cell["metrics"] = str(path)
    with pytest.raises(ArcoError, match="its part is 'val' where 'test' is wanted"):
        build_table(report, tmp_path / "small.csv", {})
    report["table"]["part"] = "val"
    written = build_table(report, tmp_path / "small.csv", {})
    assert "60.00" in written[0].read_text()
    for page in written[1:]:
        assert "Scored: validation cases, not test cases." in page.read_text(encoding="utf-8")


def test_a_table_of_test_cases_says_nothing_of_validation(report, tmp_path):
    for page in build_table(report, tmp_path / "small.csv", {})[1:3]:
        assert "validation" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("seeds", "warning"),
    [
        ([3], "Seed: 3. From 1 seed: differences between rows may be luck."),
        ([3, 5], "Seeds: 3, 5. From 2 seeds: differences between rows may be luck."),
        ([3, 5, 7], None),
    ],
)
def test_a_table_of_fewer_than_three_seeds_says_so_in_its_caption(report, tmp_path, seeds, warning):
    report["cells"] = [
        cell | {"seed": seed} for cell in report["cells"] if cell["seed"] == 3 for seed in seeds
    ]
    report["seeds"] = seeds
    for page in build_table(report, tmp_path / "small.csv", {})[1:]:
        text = page.read_text(encoding="utf-8")
        assert (warning or "Seeds: 3, 5, 7.") in text
        assert ("luck" in text) == (warning is not None)


def test_equal_runs_give_equal_bytes(report, tmp_path):
    first = build_table(report, tmp_path / "first" / "small.csv", {"commit": "abc"})
    second = build_table(report, tmp_path / "second" / "small.csv", {"commit": "abc"})
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_json_lists_the_metrics_behind_each_number(report, tmp_path):
    content = json.loads(build_table(report, tmp_path / "small.csv", {})[3].read_text())
    assert content["cells"][0]["metrics"] == [cell["metrics"] for cell in report["cells"][:2]]
    assert content["cells"][0]["per_seed"] == pytest.approx([0.83, 0.85])


def test_a_missing_metrics_file_leaves_nothing_behind(report, tmp_path):
    report["cells"][7]["metrics"] = str(tmp_path / "absent.csv")
    with pytest.raises(ArcoError, match=r"absent.csv is missing"):
        build_table(report, tmp_path / "tables" / "small.csv", {})
    assert not (tmp_path / "tables").exists()


def test_a_table_that_cannot_be_written_whole_is_not_written(report, tmp_path, monkeypatch):
    out = tmp_path / "tables" / "small.csv"
    build_table(report, out, {"commit": "old"})
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    atomic = files.atomic

    def full_disk(path):
        if path.suffix == ".json":
            raise ArcoError(f"cannot write {path}: no space left on device")
        return atomic(path)

    monkeypatch.setattr(files, "atomic", full_disk)
    with pytest.raises(ArcoError, match="no space left"):
        build_table(report, out, {"commit": "new"})
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == before


def test_a_failing_last_write_leaves_the_old_table(report, tmp_path, monkeypatch):
    out = tmp_path / "small.csv"
    build_table(report, out, {"commit": "old"})
    before = out.with_suffix(".json").read_bytes(), out.read_bytes()
    monkeypatch.setattr(formats, "to_json", lambda *_: "\ud800")  # cannot be encoded
    with pytest.raises(UnicodeEncodeError):
        build_table(report | {"scale": "paper"}, out, {})
    assert (out.with_suffix(".json").read_bytes(), out.read_bytes()) == before
    assert not list(tmp_path.glob(".*"))


def test_numbers_of_a_stacked_table_reach_the_line_of_their_labels(report, tmp_path):
    report["table"] = small_table(labels=["1%", "5%"], stacked=True).model_dump()
    paths = build_table(report, tmp_path / "small.csv", {})
    rows = list(csv.DictReader(paths[0].read_text(encoding="utf-8").splitlines()))
    assert [row["labels"] for row in rows] == ["1%"] * 4 + ["5%"] * 4
    assert [row["dsc_percent"] for row in rows[::4]] == ["84.00", "94.00"]
    content = json.loads(paths[3].read_text())
    assert [cell["labels"] for cell in content["cells"][::8]] == ["1%", "5%"]
