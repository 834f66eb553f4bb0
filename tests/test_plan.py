from __future__ import annotations

import json

import pytest

from arco import jobs, params
from arco.errors import ArcoError
from arco.plan import Plan, PretrainingRun, canonical

SAMPLERS = ("ns", "sag", "sg")
FRAMEWORKS = ("mocov2", "knn_moco", "simclr", "byol", "isd", "vicreg")


@pytest.fixture
def make_plan(repository):
    def make(**overlay):
        return Plan(params.load(repository / "params.yaml", overlay))

    return make


def test_table_8_is_seven_frameworks_by_three_samplers_by_three_budgets(make_plan):
    plan = make_plan()
    cells = plan.cells_of("results/tables/table8.csv")
    assert len(cells) == 63
    assert {cell.labels for cell in cells} == {"1pct", "5pct", "10pct"}
    recipes = {f"{name}_{sampler}" for name in FRAMEWORKS for sampler in SAMPLERS}
    assert {cell.recipe for cell in cells} == recipes | {f"arco_{name}" for name in SAMPLERS}


def test_pretraining_is_shared_over_samplers_and_over_budgets_where_it_reads_no_labels(make_plan):
    plan = make_plan()
    runs = plan.pretrainings(plan.cells_of("table8"))
    unlabeled = {PretrainingRun("acdc", "all", name, 0) for name in FRAMEWORKS}
    labeled = {PretrainingRun("acdc", key, "relational", 0) for key in ("1pct", "5pct", "10pct")}
    assert set(runs) == unlabeled | labeled
    assert len(runs) == 9


def test_a_method_of_quarter_turns_is_refused_where_planes_are_no_squares(make_plan):
    sizes = {"hippocampus_3d": {"image_size": [32, 48, 32]}}
    changed = {"scale": "paper", "datasets": sizes}
    message = "hippocampus_3d.image_size is 48 x 32 in its planes, but dct_rot needs squares"
    with pytest.raises(ArcoError, match=message):
        make_plan(**changed).cells_of("hippocampus_volumes")
    assert make_plan(**changed).cell("hippocampus_3d", "10%", "dct", 0)


def test_every_table_can_be_planned_at_every_scale(make_plan):
    for scale in ("demo", "smoke", "paper"):
        plan = make_plan(scale=scale)
        for name in plan.tables:
            assert plan.cells_of(name)


def test_cells_that_several_tables_show_are_planned_once(make_plan):
    plan = make_plan()
    every = plan.cells_of("all")
    assert len(every) == len(set(every))
    shared = set(plan.cells_of("table8")) & set(plan.cells_of("acdc"))
    assert len(shared) == 9


def test_the_sweep_runs_its_centre_once_and_shares_it_with_the_tables(make_plan):
    plan = make_plan()
    cells = plan.cells_of("figure20")
    assert len(cells) == 17  # 6 + 5 + 6 around (0.01, 1, 0.01)
    assert plan.cell("acdc", "1%", "arco_sg", 0) in cells
    assert plan.cell("acdc", "1%", "arco_sg_lambda2_0.5", 0) in cells


def test_a_swept_run_differs_from_its_centre_in_the_swept_value_alone(make_plan):
    plan = make_plan()
    centre = plan.finetune_settings(plan.cell("acdc", "1%", "arco_sg", 0))
    swept = plan.finetune_settings(plan.cell("acdc", "1%", "arco_sg_lambda1_0.1", 0))
    assert swept["method"].pop("lambda1") == 0.1
    assert centre["method"].pop("lambda1") == 0.01
    assert swept == centre


def test_samplers_differ_in_the_sampler_alone(make_plan):
    plan = make_plan()
    trees = [plan.finetune_settings(plan.cell("acdc", "5%", f"arco_{s}", 0)) for s in SAMPLERS]
    assert [tree["method"].pop("sampler") for tree in trees] == list(SAMPLERS)
    assert trees[0] == trees[1] == trees[2]


def test_changing_lambda1_changes_arco_cells_and_no_pretraining(make_plan):
    before, after = make_plan(), make_plan(methods={"arco": {"lambda1": 0.02}})
    for run in before.pretrainings(before.cells_of("all")):
        assert canonical(jobs.pretrain(before, run)) == canonical(jobs.pretrain(after, run))
    for cell in before.cells_of("acdc"):
        same = jobs.finetune(before, cell) == jobs.finetune(after, cell)
        assert same != cell.recipe.startswith("arco")


def test_a_cell_depends_on_no_other_datasets_values(make_plan):
    after = make_plan(datasets={"hippocampus": {"image_size": [32, 32]}}, runtime={"threads": 2})
    before = make_plan()
    for cell in before.cells_of("table8"):
        assert jobs.finetune(before, cell) == jobs.finetune(after, cell)


def test_moving_a_download_or_changing_the_device_reruns_nothing(make_plan):
    before = make_plan()
    after = make_plan(datasets={"acdc": {"root": "elsewhere"}}, runtime={"device": "cpu"})
    assert jobs.prepare(before, "acdc") == jobs.prepare(after, "acdc")


def test_fully_supervised_cells_are_the_same_at_every_budget(make_plan):
    plan = make_plan()
    full = {plan.cell("acdc", labels, "unet_f", 0) for labels in ("1%", "5%", "10%")}
    assert len(full) == 1
    assert jobs.finetune(plan, full.pop())["labeled_list"].endswith("splits/train.txt")


def test_reordering_classes_changes_what_preparation_records(make_plan):
    plan = make_plan()
    settings = plan.prepare_settings("acdc")
    assert [name for name, _ in settings["classes"]] == ["background", "rv", "myo", "lv"]


def test_jobs_are_plain_json(make_plan):
    plan = make_plan()
    cell = plan.cell("acdc", "1%", "arco_sag", 0)
    for job in (
        jobs.finetune(plan, cell),
        jobs.evaluate(plan, cell, "val"),
        jobs.prepare(plan, "acdc"),
        jobs.split(plan, "acdc", "1pct"),
        jobs.table(plan, "table8"),
        jobs.table(plan, "ablation"),
        jobs.figure(plan, "figure20"),
        jobs.phantom(plan, "acdc"),
        jobs.variance(plan, plan.cell("acdc", "1%", "arco_sg_snapshots", 0)),
    ):
        assert json.loads(canonical(job)) == job


LEFT_OUT = {
    "no_contrast": ("lambda1", 0.0),
    "no_unsupervised": ("lambda2", 0.0),
    "no_neighbor": ("lambda3", 0.0),
    "equivariance": ("equivariance_weight", 0.1),
    "no_strong_view": ("strong", None),
}


@pytest.mark.parametrize(("part", "value"), LEFT_OUT.items())
def test_a_row_of_the_ablation_differs_in_one_setting_alone(make_plan, part, value):
    plan = make_plan()
    for dataset, labels in (("acdc", "10%"), ("mmwhs", "10%"), ("hippocampus", "1.7%")):
        whole = plan.finetune_settings(plan.cell(dataset, labels, "arco_sg", 0))
        without = plan.finetune_settings(plan.cell(dataset, labels, f"arco_sg_{part}", 0))
        key, off = value
        assert without["method"].pop(key) == off
        assert whole["method"].pop(key) != off
        assert whole == without


def test_the_stages_of_the_ablation_share_all_but_the_stage_left_out(make_plan):
    plan = make_plan()

    def settings(recipe):
        tree = plan.finetune_settings(plan.cell("acdc", "10%", recipe, 0))
        return tree.pop("pretraining"), tree

    assert settings("arco_sg_no_stage1") == ("none", settings("arco_sg")[1])
    assert settings("unet_l_relational") == ("relational", settings("unet_l")[1])


def test_sec_e_by_the_letter_has_no_strong_view_whatever_the_default_is(make_plan):
    plan = make_plan(methods={"arco": {"pseudo_labels": "classes", "lambda2_ramp": 0.4}})
    method = plan.finetune_settings(plan.cell("acdc", "10%", "arco_sg_letter", 0))["method"]
    assert method["strong"] is None
    assert (method["equivariance_weight"], method["lambda2_ramp"]) == (0.0, 0.0)
    assert (method["pseudo_labels"], method["neighbor_predictor"]) == ("images", False)
    assert method["lambda3"] == 1.0
    assert method["sampler"] == "sg"


def test_a_comparison_shows_each_dataset_at_its_own_labels_entries(make_plan):
    plan = make_plan()
    cells = plan.cells_of("results/tables/ablation.csv")
    assert {(cell.dataset, cell.labels) for cell in cells} == {
        ("acdc", "10pct"), ("hippocampus", "1.7pct"),
    }  # fmt: skip
    assert len(cells) == 9 * 2
    assert set(cells) <= set(plan.cells_of("all"))


def test_a_comparison_reads_the_scores_of_its_part(make_plan):
    changed = {"comparisons": {"acdc_seeds": {"part": "val"}}}
    for plan, name in ((make_plan(), "metrics.csv"), (make_plan(**changed), "metrics_val.csv")):
        job = jobs.table(plan, "acdc_seeds")
        assert {path.rsplit("/", 1)[-1] for path in jobs.report_inputs(job)} == {name}


def test_another_bootstrap_changes_comparisons_and_no_table(make_plan):
    before, after = make_plan(), make_plan(bootstrap={"resamples": 500})
    assert jobs.table(before, "acdc") == jobs.table(after, "acdc")
    assert jobs.table(before, "acdc_seeds") != jobs.table(after, "acdc_seeds")


def test_seeds_multiply_cells(make_plan):
    assert len(make_plan(seeds=[0, 1]).cells_of("table8")) == 126


@pytest.mark.parametrize("target", ["table99", "figure99", "nonsense"])
def test_an_unknown_target_is_told_with_the_known_ones(make_plan, target):
    with pytest.raises(ArcoError, match="known: "):
        make_plan().cells_of(target)


def test_unknown_labels_are_told_with_the_known_ones(make_plan):
    with pytest.raises(ArcoError, match=r"datasets\.acdc\.labels has no '7%'.*1%, 5%, 10%"):
        make_plan().cell("acdc", "7%", "arco_sg", 0)


def test_a_curve_adds_the_validation_list_to_fine_tuning_and_to_nothing_else(make_plan):
    off, on = (
        make_plan(scale="paper", training={"log_every": 10, "validate_every": every})
        for every in (0, 50)
    )
    for cell in off.cells_of("acdc"):
        before, after = jobs.finetune(off, cell), jobs.finetune(on, cell)
        assert "validation" not in jobs.training_inputs(before)
        assert jobs.training_inputs(after)["validation"].endswith("acdc/splits/val.txt")
        assert after["settings"]["training"].pop("validate_every") == 50
        assert after.pop("validation_list")
        assert after == before
    for run in off.pretrainings(off.cells_of("all")):
        assert jobs.pretrain(on, run) == jobs.pretrain(off, run)


def test_a_dataset_without_a_validation_part_has_no_curve(make_plan):
    off, on = (
        make_plan(scale="paper", training={"log_every": 10, "validate_every": every})
        for every in (0, 50)
    )
    assert not on.dataset("lits").split.val
    for cell in off.cells_of("table5"):
        assert jobs.finetune(on, cell) == jobs.finetune(off, cell)


def test_a_curve_over_volumes_reads_how_windows_follow_each_other(make_plan):
    plan = make_plan(scale="paper", training={"log_every": 10, "validate_every": 50})
    settings = plan.finetune_settings(plan.cell("mpmri", "5%", "unet_l", 0))
    assert settings["window"] == {"overlap": 0.5, "stride": None}
    assert "window" not in plan.finetune_settings(plan.cell("acdc", "5%", "unet_l", 0))


def test_what_is_off_is_no_part_of_a_job(make_plan):
    off = {"validate_every": 0, "average_decay": 0.0, "snapshots": []}
    plan = make_plan(scale="paper", training=off)
    training = plan.finetune_settings(plan.cell("acdc", "1%", "arco_sg", 0))["training"]
    assert not set(off) & set(training)


def test_variances_are_measured_at_the_snapshots_of_the_very_run_of_arco_sg(make_plan):
    plan = make_plan()
    plain, kept = (
        jobs.finetune(plan, plan.cell("acdc", "10%", recipe, 0))
        for recipe in ("arco_sg", "arco_sg_snapshots")
    )
    assert kept["settings"]["training"].pop("snapshots") == [0.1, 0.5, 1.0]
    assert kept["settings"] == plain["settings"]
    job = jobs.variance(plan, plan.cell("acdc", "10%", "arco_sg_snapshots", 3))
    assert job["run"] == "results/runs/demo/acdc/10pct/arco_sg_snapshots/seed3"
    assert job["out"] == "results/variance/demo/arco_sg_snapshots_acdc_10pct_seed3.csv"
    assert (job["settings"]["labels"], job["settings"]["seeds"]) == ("10%", [3])
    assert f"{job['run']}/weights.safetensors" in jobs.variance_inputs(job).values()


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ("unet_l", r"recipes\.unet_l trains by supervised, not by ARCO"),
        ("action", r"recipes\.action trains by action, not by ARCO"),
        ("arco_sg", r"recipes\.arco_sg keeps no snapshots; set training\.snapshots"),
    ],
)
def test_a_cell_without_anything_to_measure_is_refused(make_plan, recipe, sentence):
    plan = make_plan()
    with pytest.raises(ArcoError, match=sentence):
        jobs.variance(plan, plan.cell("acdc", "10%", recipe, 0))


def test_what_is_measured_with_changes_no_training(make_plan):
    before, after = make_plan(), make_plan(variance={"batches": 7, "seed": 5})
    cell = before.cell("acdc", "10%", "arco_sg_snapshots", 0)
    assert jobs.finetune(before, cell) == jobs.finetune(after, cell)
    assert jobs.variance(before, cell) != jobs.variance(after, cell)


@pytest.mark.parametrize(
    "name",
    [
        "arco_sg_snapshots_hippocampus_1.7pct_seed0",
        "results/variance/demo/arco_sg_snapshots_hippocampus_1.7pct_seed0.csv",
        "demo/arco_sg_snapshots_hippocampus_1.7pct_seed0",
    ],
)
def test_variances_are_printed_by_the_name_of_their_files(make_plan, name):
    stem = "arco_sg_snapshots_hippocampus_1.7pct_seed0"
    found, path = make_plan().printed(name)
    assert (found, str(path)) == (stem, f"results/variance/demo/{stem}.md")


def test_a_table_is_printed_by_number_name_or_path(make_plan):
    plan = make_plan()
    for name in ("8", "table8", "results/tables/table8.csv"):
        assert plan.printed(name) == ("table8", plan.paths.table("table8", "md"))
    assert plan.printed("acdc_seeds")[0] == "acdc_seeds"
    with pytest.raises(ArcoError, match="there is no table 'nonsense'"):
        plan.printed("nonsense")


def test_a_method_alone_can_be_averaged(make_plan):
    plan = make_plan(methods={"mt": {"training": {"average_decay": 0.5}}})
    decays = {
        recipe: plan.finetune_settings(plan.cell("acdc", "1%", recipe, 0))["training"].get(
            "average_decay"
        )
        for recipe in ("mt", "uamt")
    }
    assert decays == {"mt": 0.5, "uamt": plan.parameters.sections.training.average_decay}
