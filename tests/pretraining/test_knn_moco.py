from __future__ import annotations

import pytest
import torch
from small_frameworks import TRAINING_ITEMS, make_batch, start

from arco.contracts import Progress


def test_the_loss_is_contrast_plus_weighted_neighbors() -> None:
    training = start("knn_moco", neighbor_weight=0.4)
    training.take(2)
    output = training.method.step(make_batch("knn_moco", 2), Progress(2, 50, 10))
    total = output.logs["contrast"] + 0.4 * output.logs["neighbor"]
    assert output.logs["neighbor"] > 0
    torch.testing.assert_close(output.loss.detach(), total)


def test_without_weight_it_is_moco() -> None:
    ours, moco = start("knn_moco", neighbor_weight=0.0), start("mocov2")
    assert ours.take(4) == pytest.approx(moco.take(4), rel=1e-6)


def test_every_key_lies_beside_the_features_it_was_projected_from() -> None:
    training = start("knn_moco", ema_decay=1.0)  # the teacher's head then never moves
    training.take(4)
    method = training.method
    keys, features = method.bank.contents()
    assert keys.shape == (20, 8) and features.shape == (20, 16)
    torch.testing.assert_close(method.teacher.module.head(features), keys)


def test_the_bank_never_outgrows_the_training_images() -> None:
    assert start("knn_moco", memory_bank=65_536).method.bank.capacity == TRAINING_ITEMS
