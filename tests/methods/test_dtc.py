from __future__ import annotations

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress
from arco.losses.segmentation import dice_loss

FIRST = Progress(0, 50, 10)


@pytest.mark.parametrize("name", ["dtc", "sassnet"])
def test_without_distances_and_unsupervised_weight_it_is_dice_alone(name):
    method = start(name, weight=0.0, distance_weight=0.0).method
    batch = make_batch(0)
    output = method.step(batch, FIRST)
    logits, distances = method.tasks(batch.images)
    torch.testing.assert_close(output.loss, dice_loss(logits[:2], batch.labels))
    assert distances.shape == (4, 2, 16, 32)
    assert distances.abs().max() < 1


def test_the_distance_head_is_one_layer_and_not_exported():
    method = start("dtc").method
    own = set(method.state_dict()) - {f"tasks.network.{key}" for key in method.exported()}
    assert own == {"tasks.distance_head.weight", "tasks.distance_head.bias"}


def test_labeled_images_take_part_in_the_consistency():
    method = start("dtc").method.eval()
    batch = make_batch(0)
    first = method.step(batch, FIRST).logs["consistency"]
    batch.images[0] = batch.images[0].flip(-1)
    assert method.step(batch, FIRST).logs["consistency"] != first
