from __future__ import annotations

import fcntl
import json
import subprocess
import sys

import pytest

from arco import files
from arco.errors import ArcoError
from arco.plan import Cell, PretrainingRun
from arco.status import State, examine
from small_plan import TREE, small_plan


@pytest.fixture
def plan(monkeypatch, tmp_path):
    return small_plan(monkeypatch, tmp_path)


def finish(plan, job, seconds=10.0, part=None, **changed):
    """Leave the files of a finished run, and of its evaluation on `part`."""
    root = plan.parameters.root
    if isinstance(job, Cell):
        folder, settings = plan.run_folder(job), plan.finetune_settings(job)
    else:
        folder, settings = plan.pretrained_folder(job), plan.pretrain_settings(job)
    files.write_text(root / folder / "weights.safetensors", "")
    files.write_json(root / folder / "settings.json", {**settings, "channels": 1, **changed})
    files.write_json(root / folder / "provenance.json", {"seconds": seconds})
    if part:
        files.write_text(root / plan.metrics(job, part), "case\n")


def states(status):
    """State by job of the only target."""
    (target,) = status.targets
    return {entry.job: entry.state for entry in [*target.pretrainings, *target.cells]}


PLAIN, OTHER_SEED = Cell("heart", "10pct", "plain", 0), Cell("heart", "10pct", "plain", 1)
STARTED, CONTRAST = (
    Cell("heart", "10pct", "started", 0),
    PretrainingRun("heart", "all", "contrast", 0),
)


def test_nothing_is_there_at_first_and_no_time_is_guessed(plan):
    status = examine(plan)
    assert [target.name for target in status.targets] == ["table1", "figure2"]
    table, figure = status.targets
    assert table.counts == {State.MISSING: 8} and len(table.pretrainings) == 2
    assert figure.counts == {State.MISSING: 4} and figure.pretrainings == []
    assert not table.written
    assert status.remaining_seconds is None


def test_a_cell_with_weights_and_scores_is_done_and_without_scores_trained(plan):
    finish(plan, PLAIN, part="test")
    finish(plan, OTHER_SEED)
    found = states(examine(plan, "table1"))
    assert found[PLAIN] is State.DONE
    assert found[OTHER_SEED] is State.TRAINED
    assert found[STARTED] is State.MISSING


def test_a_figure_on_validation_scans_wants_their_scores(plan):
    finish(plan, PLAIN, part="test")
    finish(plan, OTHER_SEED, part="val")
    found = states(examine(plan, "figure2"))
    assert found[PLAIN] is State.TRAINED
    assert found[OTHER_SEED] is State.DONE


def test_a_table_of_validation_cases_wants_their_scores(monkeypatch, tmp_path):
    plan = small_plan(monkeypatch, tmp_path, tables={"table1": {"part": "val"}})
    finish(plan, PLAIN, part="test")
    finish(plan, OTHER_SEED, part="val")
    found = states(examine(plan, "table1"))
    assert found[PLAIN] is State.TRAINED
    assert found[OTHER_SEED] is State.DONE


def test_a_pretraining_is_done_with_its_weights(plan):
    finish(plan, CONTRAST)
    assert states(examine(plan, "table1"))[CONTRAST] is State.DONE


def test_results_may_lie_outside_the_project(monkeypatch, tmp_path):
    overlay = {"results": str(tmp_path / "disk/results"), "work": str(tmp_path / "disk/work")}
    plan = small_plan(monkeypatch, tmp_path / "project", paths=overlay)
    finish(plan, PLAIN, part="test")
    files.write_text(plan.paths.resume(plan.run_folder(OTHER_SEED)) / "state.pt", "")
    found = states(examine(plan, "table1"))
    assert found[PLAIN] is State.DONE
    assert found[OTHER_SEED] is State.INTERRUPTED


def test_a_held_lock_means_running_even_over_old_results(plan):
    finish(plan, PLAIN, part="test")
    lock = plan.parameters.root / plan.paths.resume(plan.run_folder(PLAIN)) / "lock"
    files.write_text(lock, "")
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert states(examine(plan, "table1"))[PLAIN] is State.RUNNING
    assert states(examine(plan, "table1"))[PLAIN] is State.DONE


def test_a_lock_counts_only_while_its_process_lives(plan):
    lock = plan.parameters.root / plan.paths.resume(plan.run_folder(PLAIN)) / "lock"
    files.write_text(lock, "")
    code = "import fcntl,sys; f=open(sys.argv[1],'w'); fcntl.flock(f,2); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert states(examine(plan, "table1"))[PLAIN] is State.RUNNING
        holder.kill()
        holder.wait()
        assert states(examine(plan, "table1"))[PLAIN] is State.INTERRUPTED


def test_asking_for_the_lock_leaves_it_free(plan):
    lock = plan.parameters.root / plan.paths.resume(plan.run_folder(PLAIN)) / "lock"
    files.write_text(lock, "")
    examine(plan)
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_finished_run_whose_results_were_deleted_is_missing(plan):
    resume = plan.parameters.root / plan.paths.resume(plan.run_folder(PLAIN))
    for name in ("lock", "done.json"):
        files.write_text(resume / name, "")
    assert states(examine(plan, "table1"))[PLAIN] is State.MISSING


@pytest.mark.parametrize("left_behind", ["checkpoint", "folder"])
def test_a_checkpoint_or_an_unfinished_folder_without_a_lock_is_interrupted(plan, left_behind):
    folder = plan.run_folder(PLAIN)
    if left_behind == "checkpoint":
        files.write_text(plan.parameters.root / plan.paths.resume(folder) / "state.pt", "")
    else:
        files.write_text(plan.parameters.root / folder / "history.csv", "")
    status = examine(plan, "table1")
    assert states(status)[PLAIN] is State.INTERRUPTED
    assert "interrupted: heart 10pct plain seed 0" in status.text()


def test_results_of_other_settings_are_outdated(plan):
    finish(plan, PLAIN, part="test")
    finish(plan, OTHER_SEED, part="test", labels="50pct")
    found = states(examine(plan, "table1"))
    assert found[PLAIN] is State.DONE
    assert found[OTHER_SEED] is State.OUTDATED


def test_time_left_is_judged_by_the_runs_most_alike(plan):
    finish(plan, CONTRAST, seconds=100.0)  # the other seed's pretraining will take as long
    finish(plan, PLAIN, seconds=30.0, part="test")
    finish(plan, OTHER_SEED, seconds=50.0, part="test")
    status = examine(plan, "table1")
    # one pretraining of 100 s, and six cells of the mean of 30 s and 50 s
    assert status.remaining_seconds == 100.0 + 6 * 40.0
    assert "time left in all, one job after another: 6 min" in status.text()


def test_another_method_is_judged_by_its_own_runs_first(monkeypatch, tmp_path):
    plan = small_plan(monkeypatch, tmp_path, recipes={"started": {"method": "other"}})
    finish(plan, PLAIN, seconds=30.0)
    waiting = {entry.job: entry for entry in examine(plan, "table1").targets[0].cells}
    assert waiting[STARTED].seconds == 30.0  # for want of a better example
    finish(plan, Cell("heart", "50pct", "started", 1), seconds=300.0)
    waiting = {entry.job: entry for entry in examine(plan, "table1").targets[0].cells}
    assert waiting[STARTED].seconds == 300.0
    assert waiting[OTHER_SEED].seconds == 30.0


def test_what_two_targets_share_counts_once_in_the_total(plan):
    finish(plan, CONTRAST, seconds=1.0)
    finish(plan, PLAIN, seconds=10.0, part="test")
    status = examine(plan)
    table, figure = status.targets
    assert table.remaining_seconds == 1.0 + 7 * 10.0
    assert figure.remaining_seconds == 3 * 10.0  # two seeds at lr 0.1, one more at 0.01
    assert status.remaining_seconds == 1.0 + (7 + 2) * 10.0


def test_the_grid_has_a_symbol_per_seed(plan):
    finish(plan, PLAIN, part="test")
    finish(plan, STARTED)
    (target,) = examine(plan, "1").targets
    lines = [line.split() for line in target.grid().splitlines()]
    assert lines[:3] == [
        ["table1", "10pct", "50pct"],
        ["plain", "#.", ".."],
        ["started", "+.", ".."],
    ]


def test_a_comparison_has_columns_per_dataset_and_wants_the_scores_of_its_part(
    monkeypatch, tmp_path
):
    datasets = {"liver": TREE["datasets"]["heart"]}
    comparison = {
        "title": "", "caption": "", "datasets": ["heart", "liver"], "against": "plain",
        "labels": {"heart": ["10%"], "liver": ["50%"]}, "part": "val",
        "rows": [{"recipe": "plain", "label": "p"}, {"recipe": "started", "label": "s"}],
    }  # fmt: skip
    plan = small_plan(monkeypatch, tmp_path, datasets=datasets, comparisons={"both": comparison})
    finish(plan, PLAIN, part="val")
    finish(plan, OTHER_SEED, part="test")
    files.write_text(tmp_path / plan.paths.table("both"), "")
    assert [target.name for target in examine(plan).targets] == ["table1", "both", "figure2"]
    (target,) = examine(plan, "both").targets
    assert target.written
    lines = target.grid().splitlines()
    assert lines[0].split() == ["both", "heart", "10pct", "liver", "50pct"]
    assert [line.split() for line in lines[1:3]] == [["plain", "#+", ".."], ["started", "..", ".."]]


def test_the_text_has_a_line_per_target_with_its_counts(plan):
    finish(plan, PLAIN, part="test")
    files.write_text(plan.parameters.root / plan.paths.table("table1"), "")
    lines = [line.split() for line in examine(plan).text().splitlines()]
    assert lines[1] == [
        "table1", "8", "1", "-", "-", "-", "-", "7", "2", "unknown", "yes",
    ]  # fmt: skip


def test_the_dictionary_is_plain_json_with_every_job(plan):
    finish(plan, PLAIN, seconds=2.5, part="test")
    report = json.loads(json.dumps(examine(plan, "table1").as_dict()))
    assert report["variant"] == "smoke"
    (target,) = report["targets"]
    assert target["counts"] == {
        "done": 1, "trained": 0, "running": 0, "interrupted": 0, "outdated": 0, "missing": 7,
    }  # fmt: skip
    assert target["cells"][0] == {
        "dataset": "heart", "labels": "10pct", "recipe": "plain", "seed": 0,
        "state": "done", "seconds": 2.5,
    }  # fmt: skip
    assert len(target["pretrainings"]) == 2


def test_an_unknown_target_is_told_with_the_known_ones(plan):
    with pytest.raises(ArcoError, match=r"table9.*table1"):
        examine(plan, "table9")


def test_looking_at_the_status_loads_no_torch():
    code = "import arco.status, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
