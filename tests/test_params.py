from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from arco import params, registry, trees
from arco.errors import ArcoError


@pytest.fixture
def edited(tmp_path, repository):
    """A function that loads params.yaml with one piece of its text replaced."""

    def load(old: str, new: str, **overlay):
        text = (repository / "params.yaml").read_text(encoding="utf-8")
        assert old in text, f"params.yaml no longer holds {old!r}"
        path = tmp_path / "params.yaml"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return params.load(path, overlay)

    return load


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("lambda1: 0.01", "lamda1: 0.01", r"methods\.arco.*(lambda1|lamda1)"),
        ("lambda1: 0.01", "lambda1: '0.01'", r"methods\.arco\.lambda1.*write 0\.01"),
        ("lambda1: 0.01", "lambda1: -1.0", r"methods\.arco\.lambda1.*greater than or equal to 0"),
        ("weight_decay: 1.0e-4", "weight_decay: 1e-4", r"weight_decay.*'1e-4'.*write 0\.0001"),
        ("crop_padding: 16", "crop_paddding: 16", r"augmentation\..*crop_padd"),
        ("scale: demo", "scale: dmo", r"scale is 'dmo'.*demo, smoke, paper"),
        ("seeds: [0]", "seeds: []", r"seeds"),
        ("layout: acdc ", "layout: acdcc ", r"datasets\.acdc\.layout.*did you mean acdc"),
        ("1%: {patients: 1, slices: 1.0}", "1%: {patients: 99, slices: 1.0}", r"lower it"),
        ("  device: auto ", "  device: gpu ", r"runtime\.device"),
        ("threads: 1 ", "threads: 1.5 ", r"runtime\.threads"),
        ("query_draws: 2000", "query_draws: 2005", r"variance: query_draws is 2005 but .* block"),
        ("training_draws: 200 ", "training_draws: 10 ", r"variance: training_draws is 10 but"),
        ("block: 10 ", "block: 1 ", r"variance\.block.*greater than or equal to 2"),
    ],
)
def test_a_mistake_in_params_yaml_is_told_by_its_key(edited, old, new, expected):
    with pytest.raises(ArcoError, match=expected) as caught:
        edited(old, new)
    assert "\n" not in str(caught.value)


def test_a_recipe_naming_an_unknown_method_is_refused_with_the_closest_known_one(edited):
    with pytest.raises(ArcoError, match=r"recipes\.arco_sg\.method.*did you mean arco"):
        edited("scale: demo", "scale: demo", recipes={"arco_sg": {"method": "arcoo"}})


def test_a_recipe_cannot_set_a_key_that_does_not_exist(edited):
    overlay = {"recipes": {"arco_sg": {"set": {"method.lamda1": 0.1}}}}
    with pytest.raises(ArcoError, match=r"recipes\.arco_sg\.set.*did you mean lambda1"):
        edited("scale: demo", "scale: demo", **overlay)


def test_a_dataset_changes_methods_pretrainings_and_augmentation_for_itself_alone(repository):
    changes = {
        "augmentation": {"flip": False},
        "methods": {"arco": {"lambda1": 0.5}},
        "pretraining": {"relational": {"training": {"optimizer": {"lr": 0.125}}}},
    }
    overlay = {"datasets": {"acdc": {"changes": changes}}}
    loaded = params.load(repository / "params.yaml", {"scale": "paper", **overlay})
    plain = params.load(repository / "params.yaml", {"scale": "paper"})
    recipe = loaded.recipe("arco_sg")
    for name, changed in (("acdc", True), ("lits", False)):
        resolved = loaded.resolve(recipe, "test", name)
        before = plain.resolve(recipe, "test", name)
        assert (resolved != before) is changed
        assert resolved["augmentation"]["flip"] is not changed
        assert (resolved["method"]["lambda1"] == 0.5) is changed
        pretraining = loaded.pretraining("relational", name)
        assert (pretraining.training.optimizer.lr == 0.125) is changed
        assert pretraining.augmentation.flip is not changed


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"methods": {"arcoo": {}}}, r"datasets\.acdc\.changes\.methods.*did you mean arco"),
        ({"methods": {"arco": {"lamda1": 1.0}}}, r"methods\.arco\.lamda1.*did you mean lambda1"),
        ({"pretraning": {}}, r"datasets\.acdc\.changes\.pretraning.*did you mean pretraining"),
    ],
)
def test_a_mistake_in_what_a_dataset_changes_is_told(edited, changes, expected):
    with pytest.raises(ArcoError, match=expected):
        edited("scale: demo", "scale: demo", datasets={"acdc": {"changes": changes}})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"acdc_seeds": {"against": "unet"}}, r"comparisons\.acdc_seeds: against is unet"),
        ({"acdc_seeds": {"labels": ["1.7%"]}}, r"comparisons\.acdc_seeds\.labels.*'1\.7%'"),
        ({"acdc_seeds": {"datasets": ["acdcc"]}}, r"acdc_seeds\.datasets.*did you mean acdc"),
        ({"acdc_seeds": {"part": "train"}}, r"comparisons\.acdc_seeds\.part"),
        ({"ablation": {"labels": {"acdc": ["7%"]}}}, r"comparisons\.ablation\.labels.*'7%'"),
        ({"ablation": {"score": "dice"}}, r"comparisons\.ablation\.score"),
    ],
)
def test_a_mistake_in_a_comparison_is_told_by_its_key(edited, changes, expected):
    with pytest.raises(ArcoError, match=expected):
        edited("scale: demo", "scale: demo", comparisons=changes)


def test_a_comparison_of_an_unknown_recipe_is_refused(edited):
    with pytest.raises(ArcoError, match=r"comparisons\.acdc_seeds\.rows.*did you mean cps"):
        edited(
            "- {recipe: cps, label: CPS}\n      - {recipe: arco_ns, label: ARCO-NS (MONA)}",
            "- {recipe: cpss, label: CPS}\n      - {recipe: arco_ns, label: ARCO-NS (MONA)}",
        )


def test_a_comparison_cannot_have_the_name_of_a_table(edited):
    with pytest.raises(ArcoError, match=r"comparisons\.acdc: there is a table 'acdc'"):
        edited("\n  acdc_seeds:\n", "\n  acdc:\n")


def test_a_recipe_may_set_a_group_to_null_but_no_single_value(repository):
    def resolved(changes):
        loaded = params.load(repository / "params.yaml", {"recipes": {"arco_sg": {"set": changes}}})
        return loaded.resolve(loaded.recipe("arco_sg"), "test", "acdc")["method"]

    assert resolved({"method.strong": None})["strong"] is None
    assert resolved({"method.strong.jitter": 0.5})["strong"]["jitter"] == 0.5
    with pytest.raises(ArcoError, match=r"recipes\.arco_sg\.set: method\.lambda1"):
        resolved({"method.lambda1": None})
    with pytest.raises(ArcoError, match="goes below a single value"):
        resolved({"method.strong": None, "method.strong.jitter": 0.5})


def test_a_typo_in_a_scale_that_is_not_in_use_is_found_too(edited):
    with pytest.raises(ArcoError, match=r"scales\.paper\.datasets.*did you mean acdc"):
        edited("\n  paper: {}", "\n  paper:\n    datasets: {acd: {source: raw}}")


def test_an_overlay_wins_over_the_scale_and_the_scale_over_the_file(repository):
    path = repository / "params.yaml"
    file = yaml.safe_load(path.read_text(encoding="utf-8"))
    demo = params.load(path, {"scale": "demo"})
    paper = params.load(path, {"scale": "paper"})
    assert paper.sections.networks.unet.channels == file["networks"]["unet"]["channels"]
    assert (
        demo.sections.networks.unet.channels
        == file["scales"]["demo"]["networks"]["unet"]["channels"]
    )
    narrow = {"networks": {"unet": {"channels": [4, 4, 4, 4, 4]}}}
    for scale in ("demo", "paper"):
        loaded = params.load(path, {"scale": scale, **narrow})
        assert loaded.sections.networks.unet.channels == [4, 4, 4, 4, 4]


def test_an_overlay_can_change_what_a_scale_says_for_the_file(repository):
    overlay = {"scales": {"paper": {"seeds": [0, 1, 2]}}, "scale": "paper"}
    assert params.load(repository / "params.yaml", overlay).sections.seeds == [0, 1, 2]


def test_settings_read_without_importing_a_method_equal_the_imported_ones():
    for package in ("methods", "pretraining"):
        assert registry.names(package)
        for name in registry.names(package):
            read = registry.settings_class(package, name).model_json_schema()
            assert read == registry.load(package, name).Settings.model_json_schema()


def test_missing_and_invalid_files_are_told_in_a_sentence(tmp_path):
    with pytest.raises(ArcoError, match=r"nowhere\.yaml is missing"):
        params.load(tmp_path / "nowhere.yaml")
    broken = tmp_path / "params.yaml"
    broken.write_text("scale: [demo\n", encoding="utf-8")
    with pytest.raises(ArcoError, match="not valid YAML"):
        params.load(broken)


def test_planning_and_the_command_line_load_no_torch():
    code = (
        "import sys, arco.cli, arco.plan, arco.overview, arco.status, arco.doctor\n"
        "from pathlib import Path\n"
        "from arco import jobs, params\n"
        "plan = arco.plan.Plan(params.load(Path('params.yaml')))\n"
        "[jobs.finetune(plan, cell) for cell in plan.cells_of('all')]\n"
        "heavy = {'torch', 'pandas', 'SimpleITK', 'matplotlib', 'monai', 'lightly'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_protocol_file_is_accepted_at_every_scale(repository):
    protocols = sorted((repository / "workflow" / "protocols").glob("*.yaml"))
    assert [path.stem for path in protocols] == ["appendix", "released"]
    for path in protocols:
        for scale in ("demo", "smoke", "paper"):
            overlay = trees.read_yaml(path) | {"scale": scale}
            loaded = params.load(repository / "params.yaml", overlay)
            assert loaded.variant == f"{scale}-{path.stem}"


def test_the_released_protocol_says_what_the_released_code_does(repository):
    overlay = trees.read_yaml(repository / "workflow/protocols/released.yaml")
    loaded = params.load(repository / "params.yaml", overlay | {"scale": "paper"})
    sections = loaded.sections
    assert sections.window.stride == [4, 18, 18]
    crop = sections.datasets["la"].crop
    assert crop is not None
    assert crop.region == "label"
    mmwhs, acdc = sections.datasets["mmwhs"], sections.datasets["acdc"]
    assert mmwhs.subsets == ["ct"]
    assert round(mmwhs.labels["1%"].slices * 3823 / 20) == 18
    assert (acdc.split.train, acdc.split.val, acdc.split.test) == (70, 10, 20)
    assert [budget.patients for budget in acdc.labels.values()] == [1, 3, 7]
    assert acdc.intensity_percentiles == [0, 99]
    slices, volumes = loaded.learners[2].methods, loaded.learners[3].methods
    nesterov = {name for name, method in slices.items() if method.training.optimizer.nesterov}
    assert nesterov == {"arco"}
    assert (slices["arco"].settings["width"], volumes["arco"].settings["width"]) == (496, 16)
    lengths = (slices["mt"].training.iterations, volumes["mt"].training.iterations)
    assert lengths == (30000, 6000)


@pytest.mark.parametrize(
    ("axes", "items", "expected"),
    [
        (2, 1312, 32_800),  # ACDC
        (2, 2867, 71_800),  # MMWHS
        (2, 44_762, 100_000),  # LiTS: 1,119,200 without max_iterations
        (3, 80, 4_000),
        (3, 100, 5_000),
    ],
)
def test_every_method_takes_as_many_steps_at_paper_scale(repository, axes, items, expected):
    learners = params.load(repository / "params.yaml", {"scale": "paper"}).learners[axes]
    steps = {}
    for name, method in learners.methods.items():
        batch = method.training.batch
        per_epoch = math.ceil(items / (batch.labeled + batch.unlabeled))
        steps[name] = method.training.total_steps(per_epoch)
    assert set(steps.values()) == {expected}, steps


def test_max_iterations_bounds_epochs_and_not_iterations(repository):
    training = params.load(repository / "params.yaml", {"scale": "paper"}).sections.training
    assert training.model_copy(update={"max_iterations": None}).total_steps(5596) == 1_119_200
    assert training.model_copy(update={"max_iterations": 7}).total_steps(1) == 7
    assert training.model_copy(update={"max_iterations": 7, "iterations": 9}).total_steps(1) == 9


def test_params_yaml_may_lie_in_another_folder(tmp_path, repository):
    shutil.copy(repository / "params.yaml", tmp_path / "params.yaml")
    assert params.load(tmp_path / "params.yaml").root == tmp_path


def test_numbers_that_snakemake_hands_over_as_text_become_numbers_again():
    given = {"a": {"b": "0.5", "c": ["1", "x"], "d": "true", "e": "null", "f": "1%"}, "g": ""}
    assert trees.typed(given) == {
        "a": {"b": 0.5, "c": [1, "x"], "d": True, "e": None, "f": "1%"},
        "g": "",
    }
