from __future__ import annotations

import pytest

from arco import params
from arco.errors import ArcoError
from arco.plan import Plan, PretrainingRun

OF_DATASET = {
    "iterations": 77,
    "epochs": 9,
    "batch": {"labeled": 6, "unlabeled": 7},
    "optimizer": {"lr": 0.125, "weight_decay": 0.5},
    "schedule": {"warm_up": 0.25},
}


@pytest.fixture
def trained(repository):
    """The training settings of a pretraining of ACDC, read as a job reads them."""

    def settings(name: str, of_dataset: dict, **overlay) -> dict:
        overlay = {"datasets": {"acdc": {"training": of_dataset}}, "scale": "paper", **overlay}
        plan = Plan(params.load(repository / "params.yaml", overlay))
        return plan.pretrain_settings(PretrainingRun("acdc", "10pct", name, 0))["training"]

    return settings


def test_a_dataset_s_rate_and_warm_up_hold_for_a_pretraining_that_says_none(trained):
    training = trained("relational", OF_DATASET)
    assert (training["optimizer"]["lr"], training["optimizer"]["weight_decay"]) == (0.125, 0.5)
    assert training["schedule"]["warm_up"] == 0.25


def test_what_a_pretraining_says_itself_wins_over_the_dataset(trained):
    assert trained("relational", OF_DATASET)["batch"] == trained("relational", {})["batch"]
    own = {"relational": {"training": {"optimizer": {"lr": 0.25}}}}
    training = trained("relational", OF_DATASET, pretraining=own)
    assert (training["optimizer"]["lr"], training["optimizer"]["weight_decay"]) == (0.25, 0.5)


def test_a_pretraining_keeps_its_own_length(trained):
    for name in ("relational", "action", "mocov2", "gcl"):
        changed, plain = trained(name, OF_DATASET), trained(name, {})
        assert (changed["iterations"], changed["epochs"]) == (
            plain["iterations"],
            plain["epochs"],
        ), name


@pytest.mark.parametrize("name", ["mocov2", "knn_moco", "simclr", "byol", "isd", "vicreg", "gcl"])
def test_batch_and_optimizer_of_the_frameworks_are_their_own_on_every_dataset(trained, name):
    changed, plain = trained(name, OF_DATASET), trained(name, {})
    assert changed["batch"] == plain["batch"]
    assert changed["optimizer"] == plain["optimizer"]


def test_a_null_gives_back_to_a_pretraining_what_fine_tuning_has(trained):
    own = {"relational": {"training": {"batch": {"labeled": None}}}}
    training = trained("relational", OF_DATASET, pretraining=own)
    assert training["batch"] == {"labeled": 6, "unlabeled": 3, "mined": 5, "blocks": 0}
    assert trained("relational", {}, pretraining=own)["batch"]["labeled"] == 4


def test_relational_pretraining_of_the_demo_sees_labeled_images_as_often_as_fine_tuning(repository):
    parameters = params.load(repository / "params.yaml", {"scale": "demo"})
    sizes = set()
    for dataset in parameters.sections.datasets:
        fine_tuned = parameters.resolve(parameters.recipe("arco_sg"), "test", dataset)["training"]
        relational = parameters.pretraining("relational", dataset).training
        assert relational.batch.labeled == fine_tuned["batch"]["labeled"], dataset
        sizes.add(relational.batch.labeled)
    assert len(sizes) > 1


def test_a_mistake_in_a_dataset_s_training_is_told_by_its_own_key(trained):
    with pytest.raises(ArcoError, match=r"datasets\.acdc\.training\.batch\.labled.*labeled"):
        trained("relational", {"batch": {"labled": 3}})


@pytest.mark.parametrize(("key", "value"), [("average_decay", 0.9), ("snapshots", [0.5])])
def test_a_pretraining_is_averaged_or_kept_only_if_it_says_so_itself(trained, key, value):
    assert key not in trained("relational", {key: value})
    assert key not in trained("relational", {}, training={key: value})
    own = {"relational": {"training": {key: value}}}
    assert trained("relational", {}, pretraining=own)[key] == value


def test_a_pretraining_takes_over_no_validation_curve_and_may_ask_for_none(trained):
    assert "validate_every" not in trained("relational", {"validate_every": 50})
    own = {"relational": {"training": {"validate_every": 50}}}
    with pytest.raises(ArcoError, match=r"relational\.training\.validate_every.*remove it"):
        trained("relational", {}, pretraining=own)


def test_a_curve_between_the_rows_of_the_history_is_refused(trained):
    with pytest.raises(ArcoError, match=r"acdc\.training.*must be a multiple of log_every, 10"):
        trained("relational", {"validate_every": 15})
