from __future__ import annotations

import pytest
import torch
from framework_watch import MIRRORED, SOLARIZED, marked_batch, pass_of, watch
from slow_contrasts import assert_same_loss, cosines, mean, pair_loss, probabilities
from small_frameworks import TRAINING_ITEMS, start

VIEWS = {"student_view": SOLARIZED, "teacher_view": MIRRORED}


def slow_contrast(queries, keys, bank):
    pairs = zip(queries, keys, strict=True)
    return mean([pair_loss(query, key, bank, 0.3) for query, key in pairs])


def slow_neighbors(queries, features, bank, feature_bank):
    """Cross-entropy over the bank, of the 4 entries whose features are most alike."""
    terms = []
    for query, feature in zip(queries, features, strict=True):
        alike = cosines(feature, feature_bank).tolist()
        nearest = sorted(range(len(bank)), key=lambda entry: -alike[entry])[:4]
        predicted = probabilities(query, bank, 0.3)
        terms += [-predicted[entry].log() for entry in nearest]
    return mean(terms)


@pytest.mark.parametrize("axes", [2, 3])
def test_queries_meet_keys_and_the_entries_whose_features_are_like_theirs(axes: int) -> None:
    training = start("knn_moco", axes=axes, temperature=0.3, neighbor_weight=0.7)
    students = watch(training.method.student)
    teachers = watch(training.method.teacher.module)
    bank: list[torch.Tensor] = []
    feature_bank: list[torch.Tensor] = []
    for _ in range(4):
        output = training.step()
        features, queries = students[-1].gave
        features = features.detach().double()
        key_features, keys = (tensor.double() for tensor in teachers[-1].gave)
        if bank:

            def definition(queries, keys=keys, features=features, held=(bank, feature_bank)):
                contrast = slow_contrast(queries, keys, held[0])
                return contrast + 0.7 * slow_neighbors(queries, features, *held)

            assert_same_loss(output.loss, definition, queries)
            wide = queries.detach().double()
            contrast, neighbor = output.logs["contrast"].item(), output.logs["neighbor"].item()
            assert contrast == pytest.approx(slow_contrast(wide, keys, bank).item(), rel=1e-4)
            slow = slow_neighbors(wide, features, bank, feature_bank).item()
            assert neighbor == pytest.approx(slow, rel=1e-4)
            wrong_partners = slow_contrast(wide, keys.roll(1, 0), bank).item()
            shifted = [*feature_bank[1:], feature_bank[0]]
            wrong_features = slow_neighbors(wide, features, bank, shifted).item()
            other_choosers = slow_neighbors(wide, key_features, bank, feature_bank).item()
            assert abs(contrast - wrong_partners) > 1e-3
            assert abs(neighbor - wrong_features) > 1e-3
            assert abs(neighbor - other_choosers) > 1e-3
        else:
            assert output.loss.item() == 0
        bank, feature_bank = [*bank, *keys][-20:], [*feature_bank, *key_features][-20:]
    assert len(students) == len(teachers) == 4


@pytest.mark.parametrize("axes", [2, 3])
def test_student_and_teacher_are_shown_a_view_each_of_the_same_images(axes: int) -> None:
    training = start("knn_moco", axes=axes, **VIEWS)
    students = watch(training.method.student)
    teachers = watch(training.method.teacher.module)
    training.step(marked_batch("knn_moco", axes))
    pass_of(students, solarized=True)
    pass_of(teachers, solarized=False)


def test_without_weight_it_is_moco() -> None:
    ours, moco = start("knn_moco", neighbor_weight=0.0), start("mocov2")
    assert ours.take(4) == pytest.approx(moco.take(4), rel=1e-6)


def test_the_bank_never_outgrows_the_training_images() -> None:
    assert start("knn_moco", memory_bank=65_536).method.bank.capacity == TRAINING_ITEMS
