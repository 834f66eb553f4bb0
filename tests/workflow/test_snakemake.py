"""The real Snakemake on the real workflow, at smoke scale."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time

import pytest
from workspaces import make_workspace

from arco import files, params
from arco.plan import Plan

pytestmark = pytest.mark.workflow

# One row, one budget: the same rules as Table 8 in a tenth of the time.
SMALL = """
tables:
  small:
    title: Small
    caption: A table of two cells.
    datasets: [acdc]
    labels: [10%]
    classes: [average, rv]
    scores:
      - {score: dice, label: "DSC[%]", best: high}
      - {score: assd_mm, label: "ASD[mm]", best: low}
    style: pairs
    rows:
      - {recipe: unet_l, label: UNet-L}
      - {recipe: arco_sg, label: ARCO-SG}
"""
TARGET = "results/tables/small.csv"


def with_small_table(workspace):
    files.write_text(workspace.root / "small.yaml", SMALL)
    return workspace


def jobs_of(done: subprocess.CompletedProcess) -> dict[str, int]:
    """How many jobs of each rule a dry run lists."""
    counts: dict[str, int] = {}
    for line in (done.stdout + done.stderr).splitlines():
        if line.startswith(("rule ", "localrule ")) and line.endswith(":"):
            name = line.split()[1].rstrip(":")
            counts[name] = counts.get(name, 0) + 1
    return counts


@pytest.fixture(scope="session")
def built(prepared, tmp_path_factory):
    """A workspace in which the small table was made by Snakemake from nothing."""
    workspace = with_small_table(make_workspace(tmp_path_factory.mktemp("built")))
    workspace.snakemake(TARGET, "--configfile", "small.yaml")
    return workspace


def dry_run(workspace, *arguments: str) -> dict[str, int]:
    done = workspace.snakemake("--dry-run", TARGET, "--configfile", "small.yaml", *arguments)
    return jobs_of(done)


def test_one_command_goes_from_raw_files_to_the_printed_table(built):
    for suffix in ("csv", "md", "tex", "json"):
        assert (built.root / TARGET).with_suffix(f".{suffix}").stat().st_size > 0
    with (built.root / TARGET).open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["method"] for row in rows] == ["UNet-L", "ARCO-SG"]
    record = json.loads((built.root / TARGET).with_suffix(".json").read_text())
    assert "phantom" in json.dumps(record).lower()
    assert "smoke" in json.dumps(record)


def test_a_second_call_has_nothing_to_do(built):
    assert dry_run(built) == {}


def test_changing_lambda1_reruns_the_arco_cell_and_no_pretraining(built):
    assert dry_run(built, "--config", "methods={'arco': {'lambda1': 0.5}}") == {
        "finetune": 1,
        "evaluate": 1,
        "table": 1,
    }


def test_changing_what_no_cell_of_the_table_reads_reruns_nothing(built):
    changed = ["runtime={'checkpoint_seconds': 5}", "pretraining={'mocov2': {'temperature': 0.3}}"]
    assert dry_run(built, "--config", *changed) == {}


def test_a_download_that_grows_is_prepared_again_and_one_that_is_gone_is_not(ready):
    target, root = "data/prepared/smoke/acdc/manifest.json", "data/phantom/acdc"
    config = f"datasets={{'acdc': {{'source': 'raw', 'root': '{root}'}}}}"
    (ready.root / "data/prepared").rename(ready.root / "data/phantoms prepared")
    late, away = ready.root / root / "training/patient001", ready.root / "patient001"
    late.rename(away)

    def waiting() -> dict[str, int]:
        return jobs_of(ready.snakemake("--dry-run", target, "--config", config))

    assert waiting() == {"prepare": 1}
    ready.snakemake(target, "--config", config)
    assert waiting() == {}
    away.rename(late)
    assert waiting() == {"prepare": 1}
    ready.snakemake(target, "--config", config)
    assert "patient001_frame01" in (ready.root / target).read_text()
    (ready.root / root).rename(ready.root / "gone")
    assert waiting() == {}


def test_another_budget_leaves_the_cells_of_this_one_alone(built):
    changed = "datasets={'acdc': {'labels': {'5%': {'patients': 3}}}}"
    assert dry_run(built, "--config", changed) == {}


def test_a_deleted_run_and_table_bring_back_that_cell_alone(built):
    moved = [
        built.root / "results/runs/smoke/acdc/10pct/unet_l/seed0",
        built.root / TARGET,
    ]
    for path in moved:
        path.rename(path.with_name("elsewhere"))
    try:
        assert dry_run(built) == {"finetune": 1, "evaluate": 1, "table": 1}
    finally:
        for path in moved:
            path.with_name("elsewhere").rename(path)


def test_a_typo_in_params_yaml_stops_snakemake_before_any_job(workspace):
    workspace.edit("lambda1: 0.01 ", "lamda1: 0.01 ")
    done = workspace.snakemake("--dry-run", "results/tables/table8.csv", check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "methods.arco" in said
    assert "lambda1" in said
    assert "Traceback" not in said


def test_a_failed_job_shows_its_sentence_and_leaves_no_output(workspace):
    with_small_table(workspace)
    changed = "training={'optimizer': {'lr': 1.0e+30}}"
    done = workspace.snakemake(
        TARGET, "--configfile", "small.yaml", "--config", changed, check=False
    )
    assert done.returncode == 1
    assert "is not finite; lower training.optimizer.lr" in done.stdout + done.stderr
    assert not list(workspace.root.glob("results/runs/**/weights.safetensors"))


def test_killing_snakemake_and_its_jobs_loses_nothing(built, workspace):
    with_small_table(workspace)
    workspace.edit("checkpoint_seconds: 60", "checkpoint_seconds: 0")
    command = ["snakemake", "--cores", "2", TARGET, "--configfile", "small.yaml"]
    process = subprocess.Popen(
        command, cwd=workspace.root, env=workspace.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not list(workspace.root.glob("work/resume/**/state.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    workspace.run("snakemake", "--unlock", TARGET, "--configfile", "small.yaml")
    workspace.run(*command)
    for weights in built.root.glob("results/**/weights.safetensors"):
        same = workspace.root / weights.relative_to(built.root)
        assert same.read_bytes() == weights.read_bytes()
    assert (workspace.root / TARGET).read_bytes() == (built.root / TARGET).read_bytes()


def test_the_whole_plan_is_a_valid_graph(workspace):
    counts = jobs_of(workspace.snakemake("--dry-run", "all"))
    # Hippocampus is not in this workspace's data/raw, so what shows it waits for the download.
    plan = Plan(params.load(workspace.root / "params.yaml"))
    tables, figures = plan.with_data(plan.tables), plan.with_data(plan.parameters.sections.figures)
    assert not any("hippocampus" in name for name in tables)
    cells = {cell for name in (*tables, *figures) for cell in plan.cells_of(name)}
    assert counts["finetune"] == len(cells)
    assert counts["table"] == len(tables) == 9
    assert counts["figure"] == 1


def test_the_variances_of_a_cell_are_made_from_its_snapshots(ready):
    target = "results/variance/smoke/arco_sg_snapshots_acdc_10pct_seed0.csv"
    ready.snakemake(target)
    made = [(ready.root / target).with_suffix(suffix) for suffix in (".csv", ".md")]
    first = [path.read_bytes() for path in made]
    record = files.read_json((ready.root / target).with_suffix(".json"))
    with made[0].open() as stream:
        rows = list(csv.DictReader(stream))
    assert sorted({int(row["step"]) for row in rows}) == [1, 2, 4]  # of 4, at 0.1, 0.5 and 1.0
    assert {row["sampler"] for row in rows} == {"ns", "sg", "sag"}
    assert jobs_of(ready.snakemake("--dry-run", target)) == {}
    changed = ready.snakemake("--dry-run", target, "--config", "variance={'seed': 5}")
    assert jobs_of(changed) == {"variance": 1}
    shown = ready.arco("variance", "acdc", "10%", "arco_sg_snapshots").stdout
    assert shown.encode() == first[1]
    assert [path.read_bytes() for path in made] == first
    assert files.read_json((ready.root / target).with_suffix(".json")) == record


def test_a_tuning_file_plans_its_cells_and_scores_no_test_case(workspace):
    overlay = "workflow/tuning/unsupervised.yaml"
    table = "results/tables/tuning_unsupervised.csv"
    counts = jobs_of(workspace.snakemake("--dry-run", table, "--configfile", overlay))
    assert counts.pop("pretrain") == 3
    assert counts.pop("finetune") == counts.pop("validate") == 6 * 3
    assert counts.pop("table") == 1
    assert set(counts) <= {"phantom", "prepare", "split", "label"}


def test_a_comparison_over_seeds_needs_each_cell_once_a_seed(workspace):
    target = "results/tables/acdc_seeds.csv"
    counts = jobs_of(workspace.snakemake("--dry-run", "--config", "seeds=[0,1,2]", "--", target))
    # seven rows at three budgets and UNet-F once; one relational pretraining a budget
    assert (counts["finetune"], counts["evaluate"]) == (3 * (7 * 3 + 1), 3 * (7 * 3 + 1))
    assert (counts["pretrain"], counts["table"]) == (3 * 3, 1)


def test_lint_has_only_its_advice_on_containers(workspace):
    done = workspace.snakemake("--lint", "json", check=False)
    report = json.loads(done.stdout[done.stdout.index("{") :]) if "{" in done.stdout else {}
    titles = {
        lint["title"]
        for section in ("workflow", "rules")
        for entry in report.get(section, [])
        for lint in entry.get("lints", [])
    }
    assert all("container" in title.lower() or "conda" in title.lower() for title in titles), titles
