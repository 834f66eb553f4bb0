"""Every benchmark works: at tiny sizes, where its numbers mean nothing."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("bench_*.py"))
ROW = re.compile(r"^\| .+ \| .+ \| (?P<ratio>\S+) \| (–|at (most|least) [\d.]+) \|$", re.MULTILINE)
TARGET = re.compile(r"\| at (most|least) [\d.]+ \|$", re.MULTILINE)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts find what they share as they do when they are run."""
    monkeypatch.syspath_prepend(FOLDER)


def test_there_are_benchmarks() -> None:
    assert len(SCRIPTS) >= 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options"),
    [
        *((script, []) for script in SCRIPTS),
        ("bench_memory", ["--pretrainings"]),
        ("bench_method_steps", ["--axes", "3"]),
    ],
)
@pytest.mark.usefixtures("importable")
def test_a_benchmark_runs_at_tiny_sizes_and_prints_its_ratios(
    script: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    importlib.import_module(script).main(["--quick", *options])
    printed = capsys.readouterr().out
    ratios = [float(row["ratio"]) for row in ROW.finditer(printed)]
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    titles = [line for line in rows if line.startswith("| what |")]
    assert len(ratios) == len(rows) - len(titles), printed
    assert all(math.isfinite(ratio) and ratio > 0 for ratio in ratios), printed
    assert TARGET.search(printed), "no ratio has a target"


@pytest.mark.usefixtures("importable")
def test_a_missed_target_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    harness = importlib.import_module("harness")
    table = harness.Table("steps", quick=False)
    table.row("slow", "3 s", 1.4, harness.at_most(1.3))
    table.row("fast", "3 s", 1.2, harness.at_most(1.3))
    table.row("gain", "3 s", 1.2, harness.at_least(1.3))
    *_, slow, fast, gain = capsys.readouterr().out.splitlines()
    assert slow == "| slow | 3 s | 1.4 | at most 1.3, missed |"
    assert fast == "| fast | 3 s | 1.2 | at most 1.3 |"
    assert gain == "| gain | 3 s | 1.2 | at least 1.3, missed |"


@pytest.mark.usefixtures("importable")
def test_runs_take_turns_and_ratios_are_those_within_a_round() -> None:
    harness = importlib.import_module("harness")
    order = []
    runs = {name: lambda n=name: order.append(n) for name in "ab"}
    times = harness.take_turns(runs, rounds=2, warm_up=1)
    assert order == ["a", "b"] * 3
    assert [len(found) for found in times.values()] == [2, 2]
    assert harness.median_ratio([1.0, 40.0, 9.0], [1.0, 10.0, 3.0]) == 3
