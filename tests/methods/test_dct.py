from __future__ import annotations

import copy

import pytest
import torch
from small_methods import make_batch, start

from arco.contracts import Progress

LATE = Progress(40, 50, 10)


@pytest.mark.parametrize("axes", [2, 3])
def test_batch_statistics_are_those_of_clean_images_alone(axes):
    training = start("dct", axes=axes)
    method, batch = training.method, make_batch(0, axes=axes)
    networks = {"student": method.student, "peer": method.peer}
    clean = copy.deepcopy(networks)
    assert method.step(batch, LATE).logs["resistance"] > 0
    for name, network in networks.items():
        clean[name](batch.images)
        expected = dict(clean[name].named_buffers())
        for key, value in network.named_buffers():
            if "running" in key:
                torch.testing.assert_close(value, expected[key], msg=f"{name}.{key}")
